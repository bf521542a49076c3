"""Monitors a running study: metrics at Ray's endpoints, and the study's name in log lines."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orchestrator.monitoring.lost_groups import LostGroups
from orchestrator.monitoring.readings import METRICS, record_readings, slot_readings, study_readings
from orchestrator.process.logs import bound
from orchestrator.ray_cluster.metric import Reading
from orchestrator.ray_cluster.metrics_exporter import exported
from orchestrator.slots.client import statuses
from orchestrator.slots.pool import SlotPool
from orchestrator.study.study import Study
from orchestrator.tracking.buffer.buffered import BufferedTracker
from orchestrator.tracking.recorder import Recorder


@contextmanager
def monitored(study: Study, recorder: Recorder, pool: Callable[[], SlotPool]) -> Iterator[None]:
    """Exports the metrics of the study and of its current pool while the context lasts; its errors end no study."""
    name, lost = study.spec.name, LostGroups()

    def read() -> list[Reading]:
        current = pool()
        slots = statuses(current.ref)
        for slot, status in slots:
            if status is not None:
                lost.add(slot._actor_id.hex(), status.groups_lost)
        tracker = recorder.tracker
        counts = (tracker.num_pending, tracker.num_rejected) if isinstance(tracker, BufferedTracker) else (0, 0)
        return [
            *study_readings(name, recorder.journal.state, study.spec.trials),
            *slot_readings(name, [status for _, status in slots], current.size),
            Reading("aib_worker_groups_lost_total", lost.total, {"study": name}),
            *record_readings(name, *counts),
        ]

    with bound(study=name), exported(METRICS, read):
        yield
