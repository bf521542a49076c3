"""Urgent work goes first; other work waits for it, but not without end."""

import threading
import time

from orchestrator.process.precedence import Precedence


def test_others_wait_until_the_last_that_went_first_is_done() -> None:
    precedence, order = Precedence(), []
    entered, done = threading.Event(), threading.Event()

    def other() -> None:
        entered.set()
        precedence.give_way(60)
        order.append("other")
        done.set()

    with precedence.first():
        with precedence.first():
            threading.Thread(target=other, daemon=True).start()
            assert entered.wait(10)
        order.append("first")
        assert not done.wait(0.1)
    assert done.wait(10)
    assert order == ["first", "other"]


def test_nothing_is_put_off_for_ever() -> None:
    precedence = Precedence()
    with precedence.first():
        before_s = time.monotonic()
        precedence.give_way(0.05)
        assert 0.05 <= time.monotonic() - before_s < 10
    precedence.give_way(60)
