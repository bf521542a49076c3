"""Who goes first, and for how long the others wait."""

import threading
import time
from pathlib import Path

from orchestrator.process.precedence import Precedence, suggestions
from orchestrator.tracking.buffer.buffered import BufferedTracker
from orchestrator.tracking.buffer.spool import Spool
from orchestrator.tracking.mlflow.store import local_tracking_uri
from orchestrator.tracking.mlflow.tracker import MlflowTracker
from orchestrator.tracking.records import OpenStudy


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


def test_no_record_is_sent_while_a_trial_is_suggested(store_uri: str, tmp_path: Path) -> None:
    assert store_uri == local_tracking_uri(tmp_path)
    tracker = BufferedTracker(MlflowTracker(store_uri, tmp_path / "artifacts"), Spool(tmp_path / "spool"))
    try:
        with suggestions.first():
            tracker.write(OpenStudy("tiny", "0" * 16, {}, {}))
            assert tracker.flush(0.5) == 1
        assert tracker.flush(30) == 0
    finally:
        tracker.close()
