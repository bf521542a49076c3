"""Signals: the first asks for a graceful end, the second ends at once. Either way the study can be resumed."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether, and by which signal, an end was asked for."""

    def __init__(self) -> None:
        self.requested = threading.Event()
        self.signal: int | None = None

    @property
    def exit_code(self) -> int | None:
        """130 after Ctrl-C, 143 after SIGTERM, None while nobody asked."""
        return None if self.signal is None else 128 + self.signal


@contextmanager
def interruptible(say: Callable[[str], None]) -> Iterator[Interruption]:
    """Answers SIGINT and SIGTERM while the context lasts; afterwards the former handlers are back."""
    interruption = Interruption()

    def handle(number: int, frame: FrameType | None) -> None:
        if interruption.requested.is_set():
            # The driver's Ray processes watch their parent and follow it.
            os._exit(128 + number)
        interruption.signal = number
        interruption.requested.set()
        say("ending after the epochs in progress; once more to end at once.")

    former = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield interruption
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
