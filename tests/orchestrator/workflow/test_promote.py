"""What `aib promote` refuses to judge."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.errors import PreflightError
from orchestrator.options import RunOptions
from orchestrator.study.paths import StudyPaths, study_paths
from orchestrator.study.study import open_study, view_study
from orchestrator.workflow.promote import promote_study
from search_spaces.schema import SearchSpec
from tests.orchestrator.report.conftest import SPEC
from tests.support.some_study import write_trial

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
            write_trial(study.journal, study.storage, f"t{number:05d}", 20.0 + number, state)
        for seed in (1, 2) if finalists else ():
            state = "completed" if seed <= finalists else None
            trial = f"f00000-seed{seed}"
            write_trial(study.journal, study.storage, trial, 20.0, state, kind="finalist", of="t00000", seed=seed)
        study.journal.append("stage", stage="interrupted")
    with pytest.raises(PreflightError, match=f"{missing} have not ended.*aib search SPEC --name {NAME} --resume"):
        promote(paths)
    state = view_study(paths).state
    assert (state.stage, state.gate) == ("interrupted", None)


def test_a_single_trial_is_not_judged(spec: SearchSpec, paths: StudyPaths) -> None:
    with open_study(spec, paths, False, {}) as study:
        write_trial(study.journal, study.storage, "train", 20.0, "completed", kind="train")
        study.journal.append("stage", stage="done")
    with pytest.raises(PreflightError, match="only a search has finalists"):
        promote(paths)
