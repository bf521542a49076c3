"""Measures the parts of a run's start, from the beginning of its process on."""

import os
import time
from contextlib import suppress

import psutil

from orchestrator.process.restart import COUNT

SUBMITTED_AT = "AIB_SUBMITTED_AT"
"""Environment variable of a Ray job: the submitter's clock, in seconds since 1970, when it sent the job."""


class StartClock:
    """Seconds of each part; the parts follow one another without gaps."""

    def __init__(self) -> None:
        self.parts_s: dict[str, float] = {}
        # A command that ran itself again has the process, and the start time, of its first run.
        self._last_s: float = time.time() if os.environ.get(COUNT) else psutil.Process().create_time()
        with suppress(ValueError):
            # The submitter's clock may differ from this machine's.
            self.parts_s["job"] = max(0.0, self._last_s - float(os.environ.get(SUBMITTED_AT, "")))

    def mark(self, part: str) -> None:
        """Ends a part."""
        now_s = time.time()
        self.parts_s[part] = max(0.0, now_s - self._last_s)
        self._last_s = now_s
