"""The exit code of a search that went its whole way."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.study.journal import Journal, StudyState
from orchestrator.workflow.search import study_exit_code
from search_spaces.schema import SearchSpec
from tests.orchestrator.report.conftest import SPEC

TRIALS = 3


@pytest.fixture
def spec() -> SearchSpec:
    return SearchSpec.from_dict({**SPEC, "name": "whole", "trials": TRIALS, "finalists": {"top": 1, "seeds": 2}})


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
