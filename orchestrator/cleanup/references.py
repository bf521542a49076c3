"""Who reads a trial's checkpoints: a resume, the gate, the registry, the report; or nobody any more.

Readers of checkpoints are found in one place each: `slots.worker` (running trials), `study_record` (trials whose end
the record was not told), `champion.crown` (finalists), `report.source` (what the report shows), `model_source` (the
best trial of a study that no gate has judged).
"""

from typing import NamedTuple

from orchestrator.report.runs import choose_run, choose_runs
from orchestrator.study.journal import TrialRecord
from orchestrator.study.ranking import best_trials
from orchestrator.study.study import StudyView
from trainables.checkpoints.checkpoint_store import KEEP_CHECKPOINTS


class Reference(NamedTuple):
    """How many of a trial's newest checkpoints are read, and by whom."""

    keep: int
    reader: str


def references(view: StudyView) -> dict[str, Reference]:
    """Every trial of the study. A pure decision over its record."""
    shown = {subject.record.trial for subject in (*choose_runs(view), choose_run(view)) if subject is not None}
    registered = (view.state.registered or {}).get("trial")
    found = {name: _reference(record, shown, registered) for name, record in view.state.trials.items()}
    best = next(iter(best_trials(view.spec, list(view.state.trials.values()))), None)
    if view.state.gate is None and best is not None and found[best.trial].keep == 0:
        found[best.trial] = Reference(1, "the best before the gate: aib evaluate reads it")
    return found


def _reference(record: TrialRecord, shown: set[str], registered: str | None) -> Reference:
    if record.state == "running":
        return Reference(KEEP_CHECKPOINTS, "not ended: a resume goes on from it")
    if record.trial == registered:
        return Reference(1, "registered")
    if record.state == "completed" and not record.recorded:
        return Reference(1, "its maps and weights are still to be recorded")
    if record.state == "completed" and record.kind == "finalist":
        return Reference(1, "a finalist: aib promote may choose it")
    if record.trial in shown:
        return Reference(1, "shown by the report")
    return Reference(0, f"{record.state}: nobody reads it")
