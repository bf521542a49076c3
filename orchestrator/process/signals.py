"""SIGINT and SIGTERM: the first one asks for a graceful end, the second one ends the process at once.

A resume continues the study after either.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ANSWER_S = 5.0


class Interruption:
    """Whether a signal has asked for the end, and which one."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.requested = threading.Event()
        self.signal: int | None = None
        self._say, self._woken = say, threading.Event()

    @property
    def exit_code(self) -> int | None:
        """130 after Ctrl-C, 143 after SIGTERM, None before any signal."""
        return None if self.signal is None else 128 + self.signal

    def listen(self) -> None:
        """Installs the handlers."""
        for number in SIGNALS:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested.is_set():
            # The processes of a local Ray cluster end with the driver.
            os._exit(128 + number)
        self.signal = number
        self.requested.set()
        self._woken.set()

    def exit_if_requested(self, left: str) -> None:
        """Raises SystemExit with the signal's code if an end was requested; says first what is `left` for a resume."""
        if self.exit_code is not None:
            self._say(f"interrupted; {left} by the same command with --resume.")
            raise SystemExit(self.exit_code)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Confirms the signal from a thread of its own.

        The handler itself must not print: it may interrupt a write, and Python's streams refuse a second write then.
        """
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


@contextmanager
def interruptible(say: Callable[[str], None]) -> Iterator[Interruption]:
    """Handles SIGINT and SIGTERM while the context lasts, then restores the former handlers."""
    former = {number: signal.getsignal(number) for number in SIGNALS}
    interruption = Interruption(say)
    interruption.listen()
    try:
        with interruption._answering():
            yield interruption
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def own_handlers() -> Iterator[None]:
    """Restores the present handlers after a block in which a library may replace them.

    Outside the main thread, which alone has handlers, nothing is done.
    """
    ours = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in ours.items():
                signal.signal(number, handler)
