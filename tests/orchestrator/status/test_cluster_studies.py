"""`aib studies`: its refusals, and its table; a real cluster's studies are in `test_shared_cluster.py`."""

import io

import pytest
from rich.console import Console

from orchestrator.cli.app import main
from orchestrator.planning.study_report import StudyReport
from orchestrator.status.cluster_studies import cluster_table, study_row

FIELDS = {"study": "a", "owner": "ann@desk", "since_s": 5.0, "cpus_per_worker": 1, "gpus_per_worker": 0}


def report(**changed: object) -> StudyReport:
    size = {"least": 1, "step": 1, "wanted": 2, "useful": 2, "stage": "searching"}
    found = StudyReport.read({**FIELDS, **size, **changed})
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "no cluster is named; give its head with --address"),
        (["--address", "127.0.0.1:1"], "no Ray cluster answers"),
    ],
)
def test_without_a_cluster_it_refuses(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(SystemExit) as leaving:
        main(["studies", *options])
    assert leaving.value.code == 3
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("changed", "state"),
    [
        ({"slots": 2}, "running"),
        ({"slots": 1, "waiting": 1}, "running"),
        ({"waiting": 2}, "waiting for room"),
        ({"starting": 2}, "starting"),
        ({"wanted": 0, "useful": 0, "stage": "publishing"}, "ending"),
    ],
)
def test_a_studys_state_in_one_word(changed: dict[str, object], state: str) -> None:
    assert study_row(report(**changed))["state"] == state


def test_the_table_shows_who_has_what() -> None:
    shown = io.StringIO()
    rows = [study_row(report(slots=2, share=0.5)), study_row(report(study="b", owner="bob@lap", waiting=1, priority=3))]
    Console(file=shown, width=120).print(cluster_table(rows))
    lines = [line.split() for line in shown.getvalue().splitlines()]
    assert lines[1] == ["a", "ann@desk", "searching", "running", "2", "0", "0", "0.5"]
    assert lines[2] == ["b", "bob@lap", "searching", "waiting", "for", "room", "0", "1", "3", "1"]
