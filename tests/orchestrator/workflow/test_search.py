"""What `aib promote` refuses to judge, and the exit code of a study that went its whole way."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orchestrator.errors import PreflightError
from orchestrator.options import RunOptions
from orchestrator.study.journal import Journal, StudyState
from orchestrator.study.paths import StudyPaths, study_paths
from orchestrator.study.study import open_study, view_study
from orchestrator.workflow.promote import promote_study
from orchestrator.workflow.search import study_exit_code
from search_spaces.schema import SearchSpec
from tests.orchestrator.report.conftest import SPEC
from tests.support.some_study import tell

NAME = "early"
TRIALS = 3


@pytest.fixture
def spec() -> SearchSpec:
    return SearchSpec.from_dict({**SPEC, "name": NAME, "trials": TRIALS, "finalists": {"top": 1, "seeds": 2}})


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyPaths:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return study_paths(tmp_path, NAME)


def promote(paths: StudyPaths) -> int:
    return promote_study(NAME, RunOptions(root=paths.root), Console(file=StringIO()))


@pytest.mark.parametrize(
    ("ended", "finalists", "missing"),
    [
        (0, 0, "3 of its 3 trials"),
        (2, 0, "1 of its 3 trials"),
        (3, 0, "2 of its 2 retrainings"),
        (3, 1, "1 of its 2 retrainings"),
    ],
)
def test_an_unfinished_study_is_not_judged_and_stays_to_be_resumed(
    spec: SearchSpec, paths: StudyPaths, ended: int, finalists: int, missing: str
) -> None:
    with open_study(spec, paths, False, {}) as study:
        for number in range(TRIALS):
            state = "completed" if number < ended else None
            tell(study.journal, study.storage, f"t{number:05d}", 20.0 + number, state)
        for seed in (1, 2) if finalists else ():
            state = "completed" if seed <= finalists else None
            trial = f"f00000-seed{seed}"
            tell(study.journal, study.storage, trial, 20.0, state, kind="finalist", of="t00000", seed=seed)
        study.journal.append("stage", stage="interrupted")
    with pytest.raises(PreflightError, match=f"{missing} have not ended.*aib search SPEC --name {NAME} --resume"):
        promote(paths)
    state = view_study(paths).state
    assert (state.stage, state.gate) == ("interrupted", None)


def test_a_single_trial_is_not_judged(spec: SearchSpec, paths: StudyPaths) -> None:
    with open_study(spec, paths, False, {}) as study:
        tell(study.journal, study.storage, "train", 20.0, "completed", kind="train")
        study.journal.append("stage", stage="done")
    with pytest.raises(PreflightError, match="only a search has finalists"):
        promote(paths)


JUDGED = {"challenger": {}, "champion": None}


@pytest.mark.parametrize(
    ("states", "gate", "code"),
    [
        (["completed"] * 5, {"promote": True, **JUDGED}, 0),
        (["completed", "failed", "stopped", "completed", "completed"], {"promote": True, **JUDGED}, 4),
        (["completed", "stopped"], {"promote": True, **JUDGED}, 4),
        (["completed"] * 5, {"promote": False, **JUDGED}, 5),
        (["completed", "failed", "stopped", "completed", "completed"], {"promote": False, **JUDGED}, 5),
        (["stopped", "stopped", "stopped"], {"promote": False}, 5),
        (["completed", "stopped", "stopped", "failed", "failed"], {"promote": False}, 4),
        (["failed"] * 3, {"promote": False}, 1),
    ],
)
def test_exit_codes_of_a_study_that_went_its_whole_way(
    spec: SearchSpec, tmp_path: Path, states: list[str], gate: dict[str, Any], code: int
) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    for number, state in enumerate(states):
        kind, of = ("search", None) if number < TRIALS else ("finalist", "t00000")
        journal.append("trial", trial=f"t{number:05d}", kind=kind, params={}, seed=0, of=of)
        journal.append("ended", trial=f"t{number:05d}", state=state, reason="")
    journal.append("gate", decision={"reasons": [], **gate})
    found: StudyState = journal.state
    journal.close()
    assert study_exit_code(spec, found) == code
