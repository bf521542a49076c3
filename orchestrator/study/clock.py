"""The time of a study's record: it starts at the machine's and only ever rises, whatever happens to the machine's."""

import time

# Where the system has it, the clock that also counts the hours that a laptop sleeps.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SteadyClock:
    """Unix time in seconds, as it would be had nobody set the machine's clock since this was made.

    Differences are true durations. It never begins before `not_before_s`, the last time that an earlier process wrote
    down, so that what follows in the record also comes later.
    """

    def __init__(self, not_before_s: float = 0.0) -> None:
        self._offset_s = max(time.time(), not_before_s) - time.clock_gettime(_STEADY)

    def now_s(self) -> float:
        return self._offset_s + time.clock_gettime(_STEADY)
