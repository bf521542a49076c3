"""How a study ended: its exit code, and the same in words."""

from collections import Counter

from orchestrator.errors import EXIT_DONE, EXIT_FAILED, EXIT_GATE_REFUSED, EXIT_PARTIAL
from orchestrator.study.journal import StudyState
from search_spaces.schema import SearchSpec

DONE_CODES = (EXIT_DONE, EXIT_PARTIAL, EXIT_GATE_REFUSED)
"""Codes of a study that ended as it should: another run of it would change nothing."""
OUTCOMES = {
    EXIT_DONE: "as planned",
    EXIT_FAILED: "every trial failed",
    EXIT_PARTIAL: "partial",
    EXIT_GATE_REFUSED: "gate refused",
}
"""How a study ended, by its exit code."""


def trials_left(spec: SearchSpec, state: StudyState) -> int:
    """Returns how many planned trials of the search have not ended."""
    return spec.trials - sum(record.state != "running" for record in state.of_kind("search"))


def study_exit_code(spec: SearchSpec, state: StudyState) -> int:
    """Returns the contract's code for a study that ran to its end.

    The gate's refusal has precedence over failed trials, unless the failures left the gate nothing to judge. A single
    trial of `aib train` has no gate, and a search without finalists asks none.
    """
    ended = Counter(record.state for record in state.trials.values())
    if ended["failed"] and ended["failed"] == ended.total():
        return EXIT_FAILED
    if state.of_kind("train"):
        return EXIT_DONE
    promoted = spec.finalists.top == 0 or (state.gate is not None and state.gate["promote"])
    if not promoted and (state.gate is None or "challenger" in state.gate or not ended["failed"]):
        return EXIT_GATE_REFUSED
    return EXIT_PARTIAL if ended["failed"] or trials_left(spec, state) > 0 else EXIT_DONE
