"""What a running study shows to the outside besides its table: metrics of Ray's endpoints, its name in log lines."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orchestrator.monitoring.readings import METRICS, record_readings, slot_readings, study_readings
from orchestrator.process.logs import bound
from orchestrator.ray_cluster.metric import Reading
from orchestrator.ray_cluster.metrics_exporter import Losses, exported
from orchestrator.slots.client import statuses
from orchestrator.slots.pool import SlotPool
from orchestrator.study.study import Study
from orchestrator.tracking.buffer.buffered import BufferedTracker
from orchestrator.tracking.recorder import Recorder


@contextmanager
def monitored(study: Study, recorder: Recorder, pool: Callable[[], SlotPool]) -> Iterator[None]:
    """Shows the study and its present pool while the context lasts; trouble in showing it never reaches the study."""
    name, losses = study.spec.name, Losses()

    def read() -> list[Reading]:
        present = pool()
        slots = statuses(present.ref)
        for slot, status in slots:
            if status is not None:
                losses.add(slot._actor_id.hex(), status.groups_lost)
        tracker = recorder.tracker
        waiting = (tracker.num_pending, tracker.num_rejected) if isinstance(tracker, BufferedTracker) else (0, 0)
        return [
            *study_readings(name, recorder.journal.state, study.spec.trials),
            *slot_readings(name, [status for _, status in slots], present.size),
            Reading("aib_worker_groups_lost_total", losses.total, {"study": name}),
            *record_readings(name, *waiting),
        ]

    with bound(study=name), exported(METRICS, read):
        yield
