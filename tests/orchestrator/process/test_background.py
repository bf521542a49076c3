"""Background tasks run in order, and no error is lost."""

import threading
import time

import pytest

from orchestrator.process.background import Background


def test_tasks_are_done_in_order_and_nobody_waits_for_them() -> None:
    background, gate, done = Background("test"), threading.Event(), list[int]()
    background.do(gate.wait)
    for number in range(5):
        background.do(lambda number=number: done.append(number))  # type: ignore[misc]
    assert done == []
    gate.set()
    background.settle()
    assert done == [0, 1, 2, 3, 4]


def test_its_thread_leaves_once_there_is_nothing_to_do() -> None:
    background = Background("leaves-when-idle")
    for _ in range(2):
        background.do(lambda: None)
        background.settle()
        deadline_s = time.monotonic() + 10
        while any(thread.name == "leaves-when-idle" for thread in threading.enumerate()):
            assert time.monotonic() < deadline_s
            time.sleep(0.01)


def test_an_error_is_raised_to_whoever_comes_next_and_nothing_is_done_after_it() -> None:
    background, done = Background("test"), list[int]()

    def fails() -> None:
        raise OSError("no space")

    gate = threading.Event()
    background.do(gate.wait)
    background.do(fails)
    background.do(lambda: done.append(1))
    gate.set()
    with pytest.raises(OSError, match="no space"):
        background.settle()
    with pytest.raises(OSError, match="no space"):
        background.do(lambda: done.append(2))
    assert done == []
