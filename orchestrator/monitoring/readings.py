"""The metrics of a running study: their definitions, and their values read from the study's state.

Ray's own endpoints publish them, so Prometheus finds them as `ray_` + name.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from orchestrator.ray_cluster.metric import Metric, Reading
from orchestrator.slots.messages import SlotStatus
from orchestrator.study.journal import StudyState

TRIAL_STATES = ("running", "completed", "stopped", "failed")
SLOT_STATES = ("starting", "idle", "leased", "leaving", "broken", "closed", "unreachable")


METRICS = (
    Metric("aib_trials", "gauge", "Trials by kind and state.", ("study", "kind", "state")),
    Metric("aib_trials_planned", "gauge", "Trials that the search plans, without finalists.", ("study",)),
    Metric("aib_trials_ended_total", "counter", "Trials that ended, by kind and state.", ("study", "kind", "state")),
    Metric("aib_epochs_total", "counter", "Epochs recorded.", ("study",)),
    Metric("aib_images_total", "counter", "Training images seen, all trials together.", ("study",)),
    Metric("aib_images_per_second", "gauge", "Training images a second in a trial's last epoch.", ("study", "trial")),
    Metric("aib_slots", "gauge", "Slots by state.", ("study", "state")),
    Metric("aib_slots_wanted", "gauge", "Slots that the study may hold now, beside other studies.", ("study",)),
    Metric("aib_worker_groups_lost_total", "counter", "Worker groups lost in the middle of a trial.", ("study",)),
    Metric("aib_records_pending", "gauge", "Records that wait for the tracking server.", ("study",)),
    Metric("aib_records_rejected_total", "counter", "Records that the tracking server refused.", ("study",)),
)


def study_readings(study: str, state: StudyState, planned: int) -> list[Reading]:
    """Counts trials, epochs and images in the journal's state; an ended trial has 0 images per second."""
    records = list(state.trials.values())
    by_state = Counter((record.kind, record.state) for record in records)
    found = [Reading("aib_trials_planned", planned, {"study": study})]
    for kind in sorted({record.kind for record in records} | {"search"}):
        for ending in TRIAL_STATES:
            labels = {"study": study, "kind": kind, "state": ending}
            count = by_state[(kind, ending)]  # type: ignore[index]  # the same literals
            found.append(Reading("aib_trials", count, labels))
            if ending != "running":
                found.append(Reading("aib_trials_ended_total", count, labels))
    rows = [row for record in records for row in list(record.history)]
    found.append(Reading("aib_epochs_total", len(rows), {"study": study}))
    found.append(Reading("aib_images_total", sum(map(_images, rows)), {"study": study}))
    for record in records:
        if record.history:
            speed = record.history[-1].get("images_per_s", 0.0) if record.state == "running" else 0.0
            found.append(Reading("aib_images_per_second", speed, {"study": study, "trial": record.trial}))
    return found


def slot_readings(study: str, statuses: Iterable[SlotStatus | None], wanted: int) -> list[Reading]:
    """Counts slots by state. States without a slot read 0, so that a panel shows 0 instead of a gap."""
    states = Counter("unreachable" if status is None else status.state for status in statuses)
    found = [Reading("aib_slots", states[state], {"study": study, "state": state}) for state in SLOT_STATES]
    return [*found, Reading("aib_slots_wanted", wanted, {"study": study})]


def record_readings(study: str, pending: int, rejected: int) -> list[Reading]:
    """Counts records that wait for the tracking server, and records that it refused."""
    labels = {"study": study}
    return [Reading("aib_records_pending", pending, labels), Reading("aib_records_rejected_total", rejected, labels)]


def _images(row: Mapping[str, float]) -> float:
    return row.get("images_per_s", 0.0) * row.get("epoch_s", 0.0)
