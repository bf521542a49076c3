"""Signals ask for a graceful end, also after another library took the handlers; the former handlers come back."""

import os
import signal
import subprocess
import sys
import time

import pytest

from orchestrator.process.signals import interruptible, own_handlers
from tests.support.repository import ROOT


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


def test_a_library_that_takes_the_handlers_gives_them_back() -> None:
    taken: list[int] = []
    with interruptible(lambda text: None) as interruption:
        with own_handlers():
            signal.signal(signal.SIGTERM, lambda number, frame: taken.append(number))
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.exit_code == 143
    assert not taken


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_wait_ends_with_the_signals_code_once_an_end_is_requested(number: int, code: int) -> None:
    said: list[str] = []
    with interruptible(said.append) as interruption:
        interruption.exit_if_requested("nothing")
        os.kill(os.getpid(), number)
        with pytest.raises(SystemExit) as leaving:
            interruption.exit_if_requested("the rest is done")
    assert leaving.value.code == code
    assert "interrupted; the rest is done by the same command with --resume." in said


WRITING = """
import sys
from orchestrator.process.signals import interruptible

with interruptible(lambda text: print(text, flush=True)):
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(100):
        print("x" * 4096, flush=True)
print("whole", flush=True)
"""


def test_a_signal_in_the_middle_of_a_write_is_answered_and_cuts_nothing() -> None:
    """The test does not read the pipe, so the signal interrupts the process in a write."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITING],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("\n")
    process.stdin.flush()
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    written, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert written.count("ending: ") == 1
    assert (written.count("x" * 4096), written.splitlines()[-1]) == (100, "whole")
