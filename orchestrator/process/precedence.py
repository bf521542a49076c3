"""Work that a slot waits for goes before work that nobody waits for.

Threads of a process share its interpreter: a suggestion that is made while records are sent takes twice as long.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_S = 1.0


class Precedence:
    """Between threads; whoever goes first waits for nobody."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ahead = 0

    @contextmanager
    def first(self) -> Iterator[None]:
        """What calls `give_way` meanwhile waits for the block's end."""
        with self._changed:
            self._ahead += 1
        try:
            yield
        finally:
            with self._changed:
                self._ahead -= 1
                self._changed.notify_all()

    def give_way(self, longest_s: float = LONGEST_S) -> None:
        """Returns once nobody goes first, or after `longest_s`, so that nothing is put off for ever."""
        with self._changed:
            self._changed.wait_for(lambda: self._ahead == 0, longest_s)


suggestions = Precedence()
"""What the driver does for the next trial, before what it sends to the record."""
