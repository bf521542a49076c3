"""Logs the load of the driver's machine to the study's run with MLflow's own monitor."""

import logging
import threading
import time
from typing import Any

from orchestrator.process.redact import redact

_LOG = logging.getLogger(__name__)
_STOP_TIMEOUT_S = 5.0


class SystemMetrics:
    """Logs one point (`system/...`) every `sample_s * samples` seconds. Never raises: a study does not depend on it.

    MLflow's monitor ends after one failed request; `keep_alive` starts it again.
    """

    def __init__(self, tracking_uri: str, sample_s: float = 10.0, samples: int = 3) -> None:
        self._tracking_uri = tracking_uri
        self._sample_s, self._samples = sample_s, samples
        self._run_id: str | None = None
        self._monitor: Any = None
        self._started_s = 0.0

    @property
    def running(self) -> bool:
        thread = getattr(self._monitor, "_process", None)
        return thread is not None and thread.is_alive()

    def start(self, run_id: str) -> None:
        """Starts sampling to this run, after its last step."""
        if run_id == self._run_id and self.running:
            return
        self.stop()
        self._run_id = run_id
        self._started_s = time.monotonic()
        try:
            from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

            self._monitor = SystemMetricsMonitor(
                run_id,
                sampling_interval=self._sample_s,
                samples_before_logging=self._samples,
                resume_logging=True,
                tracking_uri=self._tracking_uri,
            )
            self._monitor.start()
        except Exception as error:  # a missing hardware counter must not stop the record
            _LOG.warning("no system metrics: %s", redact(str(error)))

    def keep_alive(self) -> None:
        """Restarts a monitor that an outage ended, at most once per sampling interval."""
        if self._run_id and not self.running and time.monotonic() - self._started_s > self._sample_s:
            self.start(self._run_id)

    def stop(self) -> None:
        """Ends sampling and sends the last samples, within 5 s."""
        monitor, self._monitor, self._run_id = self._monitor, None, None
        if monitor is not None:
            # Its last request may hang on a dead server, which must not delay the end of the study.
            finishing = threading.Thread(target=monitor.finish, name="system-metrics-stop", daemon=True)
            finishing.start()
            finishing.join(_STOP_TIMEOUT_S)
