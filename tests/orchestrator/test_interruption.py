"""Signals: a graceful end, whoever took the handler in between; the former handlers come back."""

import os
import signal

import pytest

from orchestrator.interruption import interruptible


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_asks_for_the_end_and_gives_the_exit_code(number: int, code: int) -> None:
    former, said = signal.getsignal(number), []
    with interruptible(said.append) as interruption:
        assert interruption.exit_code is None
        os.kill(os.getpid(), number)
        assert interruption.requested.is_set()
        assert interruption.exit_code == code
    assert len(said) == 1
    assert signal.getsignal(number) is former


def test_listening_again_takes_the_signal_back() -> None:
    taken: list[int] = []
    with interruptible(lambda text: None) as interruption:
        signal.signal(signal.SIGTERM, lambda number, frame: taken.append(number))
        interruption.listen()
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.exit_code == 143
    assert not taken
