"""The parts of a start follow one another without gaps, from the beginning of the process on."""

import os
import time

import psutil
import pytest

from orchestrator.process.restart import COUNT
from orchestrator.process.start_clock import SUBMITTED_AT, StartClock


def test_the_first_part_begins_with_the_process_and_the_next_where_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(COUNT, raising=False)
    monkeypatch.delenv(SUBMITTED_AT, raising=False)
    began_s, clock = psutil.Process(os.getpid()).create_time(), StartClock()
    clock.mark("imports")
    time.sleep(0.05)
    clock.mark("checks")
    assert list(clock.parts_s) == ["imports", "checks"]
    assert clock.parts_s["checks"] >= 0.05
    assert sum(clock.parts_s.values()) == pytest.approx(time.time() - began_s, abs=0.05)


def test_a_job_counts_from_its_submission_and_a_wrong_clock_gives_no_negative_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    began_s = psutil.Process(os.getpid()).create_time()
    for submitted_s, found_s in ((began_s - 4, 4.0), (began_s + 100, 0.0)):
        monkeypatch.setenv(SUBMITTED_AT, str(submitted_s))
        assert StartClock().parts_s["job"] == pytest.approx(found_s, abs=0.01)


def test_a_command_that_ran_itself_again_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(COUNT, "1")
    clock = StartClock()
    clock.mark("imports")
    assert clock.parts_s["imports"] < 0.05
