"""Counts the work that this process has done, so that an observer can find a hung process: its count stands still.

All long work of a trial counts itself: each training step, each batch of an evaluation, each file. The trial itself
never reads the count.
"""

import itertools

_steps = itertools.count(1)
_done = 0


def advance() -> None:
    """Counts one more piece of work."""
    global _done  # noqa: PLW0603  # one count for the whole process
    _done = next(_steps)


def work_done() -> int:
    """Number of pieces of work that this process has done."""
    return _done
