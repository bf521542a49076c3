"""What a person sees of a running search."""

import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.status.live_view import LiveView
from orchestrator.study.journal import Journal
from orchestrator.study.slot_report import SlotReport
from orchestrator.tracking.recorder import Recorder
from orchestrator.tracking.records import DatasetInput, OpenStudy
from tests.support.recording_tracker import RecordingTracker
from trainables.config.trial import TrialConfig

DATASET = DatasetInput(name="cluttered-digits", digest="0" * 64, source="composed", num_train=100)


@pytest.mark.parametrize("is_terminal", [False, True])
def test_every_event_is_shown(tmp_path: Path, is_terminal: bool) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=is_terminal, width=120)
    journal = Journal(tmp_path / "journal.jsonl")
    view = LiveView(console, journal.state, 2, 3, lambda: 1)
    recorder = Recorder(journal, RecordingTracker(), DATASET, {}, on_change=view.update)
    recorder.tracker.write(OpenStudy("study", "signature", {}, {}))
    with view:
        recorder.stage("searching")
        recorder.trial_started("t00000", "search", {"bottleneck.beta": 0.01}, TrialConfig.from_dict({}))
        view.note(SlotReport(waiting=1, waits_for="1 worker; free: 0 of 2"))
        view.note(SlotReport(waiting=1, waits_for="1 worker; free: 0.5 of 2"))
        if is_terminal:
            # The table is drawn twice a second.
            time.sleep(1)
        view.note(SlotReport(serving=1))
        view.note(None)
        recorder.trial_stepped("t00000")
        recorder.trial_stepped("t00000")
        recorder.epoch("t00000", {"epoch": 1.0, "val_error_pct": 12.5, "val_nll": 0.5})
        recorder.epoch("t00000", {"epoch": 1.0, "val_error_pct": 12.5, "val_nll": 0.5})
        recorder.trial_ended("t00000", "stopped")
    recorder.settle()
    journal.close()
    if is_terminal:
        assert "searching: 1 of 2 trials ended" in shown.getvalue()
        assert "waiting for room: 1 of 1 trial slots have no workers yet: 1 worker; free: 0.5 of 2" in shown.getvalue()
        assert "starting" in shown.getvalue()
        assert "12.50" in shown.getvalue()
    else:
        assert shown.getvalue().splitlines() == [
            "t00000 starting  beta=0.01",
            "waiting for room: 1 of 1 trial slots have no workers yet: 1 worker; free: 0 of 2",
            "no trial slot waits for room any more",
            "t00000 running  beta=0.01",
            "t00000 running  epoch 1/3  val error 12.50 %",
            "t00000 stopped  epoch 1/3  val error 12.50 %",
        ]


def test_the_one_trial_of_aib_train_counts_and_finalists_do_not(tmp_path: Path) -> None:
    shown = io.StringIO()
    journal = Journal(tmp_path / "journal.jsonl")
    recorder = Recorder(journal, RecordingTracker(), DATASET, {})
    recorder.tracker.write(OpenStudy("study", "signature", {}, {}))
    recorder.stage("training")
    for name, kind in (("train", "train"), ("f00000-seed1", "finalist")):
        recorder.trial_started(name, kind, {}, TrialConfig.from_dict({}))
        recorder.trial_ended(name, "completed")
    with LiveView(Console(file=shown, force_terminal=True, width=120), journal.state, 1, 3, lambda: 1):
        pass
    recorder.settle()
    journal.close()
    assert "training: 1 of 1 trials ended" in shown.getvalue()
