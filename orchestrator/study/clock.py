"""The clock of a study's record: it starts at the machine's time and only rises, even if the machine's clock is set."""

import time

# CLOCK_BOOTTIME also counts the hours that a laptop sleeps; not every system has it.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SteadyClock:
    """Unix time in seconds that ignores every change of the machine's clock after construction.

    Differences are true durations. The time starts at `not_before_s` or later. `not_before_s` is the last time that an
    earlier process recorded, so new records come after the existing ones.
    """

    def __init__(self, not_before_s: float = 0.0) -> None:
        self._offset_s = max(time.time(), not_before_s) - time.clock_gettime(_STEADY)

    def now_s(self) -> float:
        return self._offset_s + time.clock_gettime(_STEADY)
