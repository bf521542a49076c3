"""Precedence between threads: work that a slot waits for runs before work that can wait.

All threads of a process share one interpreter, so a suggestion takes longer while another thread sends records.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_S = 1.0


class Precedence:
    """Lets threads call `first` for urgent work, and other threads `give_way` to it; urgent work never waits."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._urgent = 0

    @contextmanager
    def first(self) -> Iterator[None]:
        """While the block runs, `give_way` waits."""
        with self._changed:
            self._urgent += 1
        try:
            yield
        finally:
            with self._changed:
                self._urgent -= 1
                self._changed.notify_all()

    def give_way(self, longest_s: float = LONGEST_S) -> None:
        """Waits until no thread is inside `first`, at most `longest_s`, so that no work is delayed without end."""
        with self._changed:
            self._changed.wait_for(lambda: self._urgent == 0, longest_s)


suggestions = Precedence()
"""The driver's suggestion of the next trial, which precedes the delivery of records."""
