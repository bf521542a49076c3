"""How a study ended: the exit code of a search that went its whole way, and what `aib status` says of it."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.status.summary import stage_text, status_of
from orchestrator.study.journal import Journal, StudyState
from orchestrator.study.outcome import study_exit_code
from orchestrator.study.study import StudyView
from search_spaces.schema import SearchSpec
from tests.orchestrator.report.conftest import SPEC

TRIALS = 3


@pytest.fixture
def spec() -> SearchSpec:
    return SearchSpec.from_dict({**SPEC, "name": "whole", "trials": TRIALS, "finalists": {"top": 1, "seeds": 2}})


JUDGED = {"challenger": {}, "champion": None}
GATE_REFUSED = "done, gate refused"


@pytest.mark.parametrize(
    ("states", "gate", "code", "text"),
    [
        (["completed"] * 5, {"promote": True, **JUDGED}, 0, "done"),
        (["completed", "failed", "stopped", "completed", "completed"], {"promote": True, **JUDGED}, 4, "done, partial"),
        (["completed", "stopped"], {"promote": True, **JUDGED}, 4, "done, partial"),
        (["completed"] * 5, {"promote": False, **JUDGED}, 5, GATE_REFUSED),
        (["completed", "failed", "stopped", "completed", "completed"], {"promote": False, **JUDGED}, 5, GATE_REFUSED),
        (["stopped", "stopped", "stopped"], {"promote": False}, 5, GATE_REFUSED),
        (["completed", "stopped", "stopped", "failed", "failed"], {"promote": False}, 4, "done, partial"),
        (["failed"] * 3, {"promote": False}, 1, "done, every trial failed"),
    ],
)
def test_exit_codes_of_a_study_that_went_its_whole_way(
    spec: SearchSpec, tmp_path: Path, states: list[str], gate: dict[str, Any], code: int, text: str
) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append("stage", stage="searching")
    for number, state in enumerate(states):
        kind, of = ("search", None) if number < TRIALS else ("finalist", "t00000")
        journal.append("trial", trial=f"t{number:05d}", kind=kind, params={}, seed=0, of=of)
        journal.append("ended", trial=f"t{number:05d}", state=state, reason="")
    journal.append("gate", decision={"reasons": [], **gate})
    view = StudyView(spec, {"signature": "0"}, journal.state)
    running = status_of(view)
    assert (running["exit_code"], running["outcome"], stage_text(running)) == (None, None, "searching")
    journal.append("stage", stage="done")
    journal.close()
    status = status_of(view)
    assert study_exit_code(spec, view.state) == status["exit_code"] == code
    assert stage_text(status) == text


@pytest.mark.parametrize(("state", "code"), [("completed", 0), ("failed", 1)])
def test_a_single_trial_has_no_gate(spec: SearchSpec, tmp_path: Path, state: str, code: int) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append("trial", trial="train", kind="train", params={}, seed=0, of=None)
    journal.append("ended", trial="train", state=state, reason="")
    journal.close()
    assert study_exit_code(spec, journal.state) == code


def test_the_status_of_an_earlier_version_is_shown() -> None:
    assert stage_text({"stage": "done"}) == "done"
    assert stage_text({"stage": None}) == "not started"


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (["completed", "stopped", "stopped"], 0),
        (["completed", "failed", "stopped"], 4),
        (["completed"], 4),
        (["failed"] * 3, 1),
    ],
)
def test_a_search_without_finalists_is_done_after_its_trials(states: list[str], code: int) -> None:
    spec = SearchSpec.from_dict({**SPEC, "trials": TRIALS, "finalists": {"top": 0}})
    state = StudyState()
    for number, ended in enumerate(states):
        trial = {"trial": f"t{number:05d}", "time": 1.0}
        state.apply({"event": "trial", **trial, "kind": "search", "params": {}, "seed": 0, "of": None})
        state.apply({"event": "ended", **trial, "state": ended, "reason": ""})
    assert study_exit_code(spec, state) == code
