"""Hands readings to Ray's metrics, which every node's endpoint shows to Prometheus.

It watches and does not steer: a thread of its own, whose errors are logged once and end nothing.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ray.util import metrics as ray_metrics

from orchestrator.ray_cluster.metric import Metric, Reading

LOOK_S = 5.0
JOIN_S = 2.0

logger = logging.getLogger(__name__)


class Exporter:
    """Ray's gauges and counters under our names. A counter's first total is where it counts from."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._gauges = {
            m.name: ray_metrics.Gauge(m.name, m.description, m.labels) for m in metrics if m.kind == "gauge"
        }
        self._counters = {
            m.name: ray_metrics.Counter(m.name, m.description, m.labels) for m in metrics if m.kind == "counter"
        }
        self._totals: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._began = False

    def export(self, readings: Sequence[Reading]) -> None:
        for reading in readings:
            if reading.name in self._gauges:
                self._gauges[reading.name].set(reading.value, reading.labels)
                continue
            key = (reading.name, tuple(sorted(reading.labels.items())))
            # What a resumed study had before this process is the first look's; what comes up later began at 0.
            before = self._totals.get(key, 0.0 if self._began else reading.value)
            self._totals[key] = max(before, reading.value)
            if reading.value > before:
                self._counters[reading.name].inc(reading.value - before, reading.labels)
        self._began = True


class Losses:
    """Adds up what slots count, which begin at 0 again when their processes do."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}
        self.total = 0

    def add(self, slot: str, count: int) -> None:
        before = self._seen.get(slot, 0)
        self.total += count - before if count >= before else count
        self._seen[slot] = count


@contextmanager
def exported(
    metrics: Sequence[Metric], read: Callable[[], Sequence[Reading]], look_s: float = LOOK_S
) -> Iterator[None]:
    """Exports `read()` now and every `look_s` seconds, and once more at the end."""
    over = threading.Event()

    def watch() -> None:
        exporter, warned = None, False
        while True:
            last = over.is_set()
            try:
                exporter = exporter or Exporter(metrics)
                exporter.export(read())
            except Exception:
                if not warned:
                    logger.warning("metrics could not be read; the search goes on without them", exc_info=True)
                warned = True
            if last:
                return
            over.wait(look_s)

    watcher = threading.Thread(target=watch, name="metrics", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join(JOIN_S)
