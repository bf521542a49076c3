"""Addresses in the journal of a study whose root is moved."""

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from orchestrator.study.addresses import movable_path, movable_record
from orchestrator.study.paths import StudyPaths, study_paths
from orchestrator.study.sqlite_address import sqlite_address
from orchestrator.study.study import open_study, view_study
from search_spaces.schema import SearchSpec
from trainables.errors import ConfigError

SPEC = {"name": "s", "trial": {"model": "vgg-aib-qt", "dataset": "cluttered-digits"}, "space": {}, "trials": 1}
RUN = "0123456789abcdef0123456789abcdef"


def make(root: Path, record: dict[str, Any] | None, report: str | None) -> StudyPaths:
    paths = study_paths(root, "s")
    with open_study(SearchSpec.from_dict(SPEC), paths, False, {}) as study:
        study.journal.append("stage", stage="done")
        if record is not None:
            study.journal.append("mlflow", record=movable_record(paths, record))
        if report is not None:
            study.journal.append("report", path=report)
    return paths


def hold_run(database: Path) -> None:
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE runs (run_uuid)")
    connection.execute("INSERT INTO runs VALUES (?)", (RUN,))
    connection.commit()
    connection.close()


def recorded_in(database: Path) -> dict[str, Any]:
    return {"tracking_uri": sqlite_address(database), "experiment_id": "1", "run_id": RUN}


def test_addresses_under_the_root_are_written_relative_to_it_and_follow_it(tmp_path: Path) -> None:
    former, present = tmp_path / "former", tmp_path / "deep" / "present"
    paths = study_paths(former, "s")
    make(former, recorded_in(paths.mlflow_db), movable_path(paths, paths.report / "report.html"))
    assert str(tmp_path) not in paths.journal.read_text()
    shutil.copytree(former, present)
    for root in (former, present):
        state = view_study(study_paths(root, "s")).state
        assert state.mlflow == recorded_in(root / "mlflow.db")
        assert state.report == str(root / "studies" / "s" / "report" / "report.html")


def test_absolute_addresses_of_an_earlier_version_are_found_under_the_present_root(tmp_path: Path) -> None:
    paths = make(tmp_path / "present", None, "/former/studies/s/report/report.html")
    with paths.journal.open("a") as journal:
        journal.write(json.dumps({"event": "mlflow", "time": 1.0, "record": recorded_in(Path("/former/mlflow.db"))}))
        journal.write("\n")
    hold_run(paths.mlflow_db)
    state = view_study(paths).state
    assert state.mlflow == recorded_in(paths.mlflow_db)
    assert state.report == str(paths.report / "report.html")


@pytest.mark.parametrize("uri", ["sqlite:////shared/mlflow.db", "http://h:5000"])
def test_another_store_and_a_report_elsewhere_keep_their_addresses(uri: str, tmp_path: Path) -> None:
    record = {"tracking_uri": uri, "experiment_id": "1", "run_id": RUN}
    paths = make(tmp_path, record, "/elsewhere/report.html")
    state = view_study(paths).state
    assert (state.mlflow, state.report) == (record, "/elsewhere/report.html")


@pytest.mark.parametrize("name", ["a%2Fb", "what?now=1"])
def test_a_root_whose_databases_have_no_address_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"question mark|percent sign"):
        study_paths(tmp_path / name, "s")
    assert list(tmp_path.iterdir()) == []
