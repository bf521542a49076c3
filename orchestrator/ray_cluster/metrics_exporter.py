"""Exports readings as Ray metrics, which every node's endpoint shows to Prometheus.

A thread of its own exports them. It logs its first error only, and no error of it ends the search.
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
    """Ray gauges and counters under our names. A counter counts from the first total that it gets."""

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
            # The first export holds what a resumed study had before this process; a later label starts at 0.
            before = self._totals.get(key, 0.0 if self._began else reading.value)
            self._totals[key] = max(before, reading.value)
            if reading.value > before:
                self._counters[reading.name].inc(reading.value - before, reading.labels)
        self._began = True


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
                    logger.warning("metrics could not be read; the search continues without them", exc_info=True)
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
