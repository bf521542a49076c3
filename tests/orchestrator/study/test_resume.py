"""What readers see of a study whose driver was killed, and the command that resumes it."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.cli.app import main
from orchestrator.planning.signature import spec_signature
from orchestrator.study.journal import StudyState
from orchestrator.study.paths import study_paths
from orchestrator.study.resume import needs_resume, resume_command, spec_to_resume
from orchestrator.workflow.train import as_single_trial
from search_spaces.schema import SearchSpec, load_spec
from trainables.errors import ConfigError

SPEC = """
name: one
trial: {model: vgg-aib-qt, dataset: cluttered-digits, epochs: 5, evaluation.occluder_dataset: cluttered-digits}
space: {bottleneck.latent_dim: {choice: [8, 16]}}
trials: 2
"""
DRIVER = """
import json, pathlib, sys, time
from orchestrator.study.study import open_study
from orchestrator.study.paths import study_paths
from search_spaces.schema import SearchSpec
spec, kind = SearchSpec.from_dict(json.loads(sys.argv[2])), sys.argv[3]
with open_study(spec, study_paths(sys.argv[1], spec.name), False, {}) as study:
    study.journal.append("stage", stage="searching" if kind == "search" else "training")
    study.journal.append("trial", trial="t00000", kind=kind, params={}, seed=0, of=None)
    print("runs", flush=True)
    time.sleep(600)
"""
Aib = Callable[..., tuple[int, str, str]]


@pytest.fixture
def aib(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Aib:
    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as leaving:
            main([*words, "--root", str(tmp_path)])
        said = capsys.readouterr()
        return int(leaving.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def changed(tmp_path: Path) -> SearchSpec:
    """A search that --set changed, so that it differs from its file."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    return load_spec(tmp_path / "spec.yaml", ["epochs=2", "trials=3"])


@contextmanager
def driver(root: Path, spec: SearchSpec, kind: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that runs the study; killed at the end at the latest."""
    command = [sys.executable, "-c", DRIVER, str(root), json.dumps(spec.to_dict()), kind]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize(("kind", "verb"), [("search", "search"), ("train", "train")])
def test_a_killed_driver_is_told_from_a_running_one(
    tmp_path: Path, aib: Aib, changed: SearchSpec, kind: str, verb: str
) -> None:
    spec = changed if kind == "search" else as_single_trial(changed, "one")
    with driver(tmp_path, spec, kind):
        assert json.loads(aib("status", "one", "--json")[1])["driver_running"] is True
        said = aib("status", "one")[1]
        assert "1 starting, 0 running" in said
        assert "no process" not in said
        assert "starting" in aib("trials", "one")[1]
    assert json.loads(aib("status", "one", "--json")[1])["driver_running"] is False
    said = aib("status", "one")[1]
    assert "1 unfinished" in said
    assert f"no process runs it now; continue with: aib {verb} one --resume --root {tmp_path}" in said
    table = aib("trials", "one")[1]
    assert "unfinished" in table
    assert "starting" not in table


def test_a_study_goes_on_by_its_name_with_what_set_changed(tmp_path: Path, aib: Aib, changed: SearchSpec) -> None:
    with driver(tmp_path, changed, "search"):
        # Past every check of the spec: only the process that runs it is in the way.
        code, _, said = aib("search", "one", "--resume")
        assert (code, "is being run by another process" in said) == (3, True), said
    code, _, said = aib("search", str(tmp_path / "spec.yaml"), "--resume")
    assert (code, "in place of the file" in said) == (2, True), said
    found = spec_to_resume(Path("one"), "search", tmp_path, False)
    assert found is not None
    assert spec_signature(found) == study_paths(tmp_path, "one").stored()["signature"]  # type: ignore[index]
    for words in (["search", "one", "--resume", "--set", "trials=9"], ["search", "one", "--resume", "--name", "two"]):
        code, _, said = aib(*words)
        assert (code, "leave out --set and --name" in said) == (2, True), said
    with pytest.raises(ConfigError, match="aib search one --resume"):
        spec_to_resume(Path("one"), "train", tmp_path, False)
    assert aib("search", "one")[0] == 2, "without --resume it is a file's name"
    assert aib("search", "none", "--resume")[0] == 2


def test_a_file_of_the_name_comes_first(tmp_path: Path, changed: SearchSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    with driver(tmp_path, changed, "search"):
        pass
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.yaml").rename(tmp_path / "one")
    assert spec_to_resume(Path("one"), "search", tmp_path, False) is None


def test_the_root_is_named_where_it_is_not_the_usual_one(changed: SearchSpec) -> None:
    assert resume_command(changed, StudyState()) == "aib search one --resume"
    assert resume_command(changed, StudyState(), Path("a b")) == "aib search one --resume --root 'a b'"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"stage": "searching", "driver_running": False}, True),
        ({"stage": "searching", "driver_running": True}, False),
        ({"stage": "interrupted", "driver_running": False}, True),
        ({"stage": "done", "driver_running": False}, False),
        ({"stage": "new", "driver_running": False}, False),
        ({"stage": None}, False),
        ({"stage": "searching"}, False),
        ({"stage": "searching", "driver_running": False, "job": {"exit_code": None}}, False),
        ({"stage": "searching", "driver_running": False, "job": {"exit_code": 137}}, True),
    ],
)
def test_a_study_needs_a_resume_where_no_process_runs_it_or_is_about_to(status: dict, expected: bool) -> None:
    assert needs_resume(status) == expected
