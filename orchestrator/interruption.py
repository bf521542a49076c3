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

    def __init__(self, say: Callable[[str], None]) -> None:
        self.requested = threading.Event()
        self.signal: int | None = None
        self._say = say

    @property
    def exit_code(self) -> int | None:
        """130 after Ctrl-C, 143 after SIGTERM, None while nobody asked."""
        return None if self.signal is None else 128 + self.signal

    def listen(self) -> None:
        """Takes the signals; once more where something else, as Ray does when it starts, has taken them since."""
        for number in SIGNALS:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested.is_set():
            # The driver's Ray processes watch their parent and follow it.
            os._exit(128 + number)
        self.signal = number
        self.requested.set()
        self._say("ending: trials save the step they are at; once more to end at once.")


@contextmanager
def interruptible(say: Callable[[str], None]) -> Iterator[Interruption]:
    """Answers SIGINT and SIGTERM while the context lasts; afterwards the former handlers are back."""
    former = {number: signal.getsignal(number) for number in SIGNALS}
    interruption = Interruption(say)
    interruption.listen()
    try:
        yield interruption
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
