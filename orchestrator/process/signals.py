"""Signals: the first asks for a graceful end, the second ends at once. Either way the study can be resumed."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ANSWER_S = 5.0


class Interruption:
    """Whether, and by which signal, an end was asked for."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.requested = threading.Event()
        self.signal: int | None = None
        self._say, self._woken = say, threading.Event()

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
        self._woken.set()

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Says that the signal was heard, from a thread of its own: a handler may come in the middle of a write, and
        Python's streams take no other one then."""
        thread = threading.Thread(target=self._answer, name="interruption", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._woken.set()
            thread.join(ANSWER_S)

    def _answer(self) -> None:
        self._woken.wait()
        if self.requested.is_set():
            self._say("ending: trials save the step they are at; once more to end at once.")


def leave_if_asked(left: str) -> None:
    """For whoever waits for long while `interruptible` lasts: SystemExit with the signal's code where an end was asked
    for, having said what is `left` to a resume."""
    handling = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if isinstance(handling, Interruption) and handling.exit_code is not None:
        handling._say(f"interrupted; {left} by the same command with --resume.")
        raise SystemExit(handling.exit_code)


@contextmanager
def interruptible(say: Callable[[str], None]) -> Iterator[Interruption]:
    """Answers SIGINT and SIGTERM while the context lasts; afterwards the former handlers are back."""
    former = {number: signal.getsignal(number) for number in SIGNALS}
    interruption = Interruption(say)
    interruption.listen()
    try:
        with interruption._answering():
            yield interruption
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
