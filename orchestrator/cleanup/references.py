"""Decides how many of a trial's checkpoints are still read, and by which command.

The readers are: a resume (`slots.worker`, trials that have not ended), the recorder (`tracking.open_recorder`, ended
trials that are not fully recorded), the gate (`finalists.promotion`, finalists), the report (`report.source`), and
`aib evaluate` (`registry.lookup`, the best trial of a study that no gate has judged).
"""

from typing import NamedTuple

from orchestrator.report.runs import choose_run, choose_runs
from orchestrator.study.journal import TrialRecord
from orchestrator.study.ranking import best_trials
from orchestrator.study.study import StudyView
from trainables.checkpoints.checkpoint_store import KEEP_CHECKPOINTS


class Reference(NamedTuple):
    """The number of newest checkpoints of a trial to keep, and the reader that needs them."""

    keep: int
    reader: str


def references(view: StudyView) -> dict[str, Reference]:
    """The reference of every trial of the study; a pure decision over its journal."""
    shown = {subject.record.trial for subject in (*choose_runs(view), choose_run(view)) if subject is not None}
    registered = (view.state.registered or {}).get("trial")
    found = {name: _reference(record, shown, registered) for name, record in view.state.trials.items()}
    best = next(iter(best_trials(view.spec, list(view.state.trials.values()))), None)
    if view.state.gate is None and best is not None and found[best.trial].keep == 0:
        found[best.trial] = Reference(1, "best trial before the gate: aib evaluate reads it")
    return found


def _reference(record: TrialRecord, shown: set[str], registered: str | None) -> Reference:
    if record.state == "running":
        return Reference(KEEP_CHECKPOINTS, "not ended: a resume continues from it")
    if record.trial == registered:
        return Reference(1, "registered")
    if record.state == "completed" and not record.recorded:
        return Reference(1, "its maps and weights are not recorded yet")
    if record.state == "completed" and record.kind == "finalist":
        return Reference(1, "a finalist: aib promote may choose it")
    if record.trial in shown:
        return Reference(1, "shown by the report")
    return Reference(0, f"{record.state}: no command reads it")
