"""JSON lines carry study and trial, hide secrets, and are the only output on stderr."""

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.process import logs
from orchestrator.study.journal import Journal
from orchestrator.tracking.recorder import Recorder
from orchestrator.tracking.records import DatasetInput
from tests.orchestrator.search.test_searcher import SilentTracker
from trainables.config.trial import TrialConfig


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Collects the JSON lines; afterwards the process logs as before."""
    root, levels = logging.getLogger(), {name: logging.getLogger(name).level for name in logs.OURS}
    handlers = root.handlers
    written = io.StringIO()
    logs.configure("json", written)
    yield written
    root.handlers = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logs.configure("text")


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line, parse_constant=pytest.fail) for line in stream.getvalue().splitlines()]


def test_a_trials_events_carry_study_and_trial(stream: io.StringIO, tmp_path: Path) -> None:
    data = DatasetInput(name="d", digest="0", source="s", num_train=1)
    recorder = Recorder(Journal(tmp_path / "journal.jsonl"), SilentTracker(), data, {})  # type: ignore[arg-type]
    with logs.bound(study="s"):
        recorder.stage("searching")
        recorder.trial_started(
            "t00003", "search", {"bottleneck.beta": 0.1}, TrialConfig.from_dict({"model": "vgg-aib"})
        )
        recorder.epoch("t00003", {"epoch": 1.0, "val_error_pct": 9.5, "val_nll": float("nan")})
        recorder.epoch("t00003", {"epoch": 1.0, "val_error_pct": 9.5})
        recorder.trial_ended("t00003", "failed", "diverged")
    found = lines(stream)
    assert [line["message"] for line in found] == ["stage", "trial started", "epoch", "trial ended"]
    assert {line["study"] for line in found} == {"s"}
    assert {line["trial"] for line in found[1:]} == {"t00003"}
    assert found[2]["metrics"] == {"val_error_pct": 9.5, "val_nll": None}
    assert (found[3]["state"], found[3]["reason"]) == ("failed", "diverged")
    assert all(line["time"].endswith("+00:00") and line["level"] == "info" for line in found)


def test_secrets_are_hidden_in_messages_and_exceptions(stream: io.StringIO) -> None:
    try:
        raise ValueError("https://user:hunter2x@server said no")
    except ValueError:
        logging.getLogger("orchestrator.x").warning("at https://user:hunter2x@server", exc_info=True)
    assert "hunter2x" not in stream.getvalue()
    assert "ValueError" in lines(stream)[0]["exception"]


def test_what_is_printed_for_people_becomes_messages(stream: io.StringIO) -> None:
    printed = logs.LineLog(logging.getLogger("aib"))
    printed.write("first\nsec")
    printed.write("ond\n\n")
    assert [line["message"] for line in lines(stream)] == ["first", "second"]


@pytest.mark.slow
def test_the_command_writes_nothing_but_json_to_stderr(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "plan", str(tmp_path / "none.yaml"), "--root", str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "AIB_LOG": "json"},
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    (line,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert line["level"] == "error"
    assert "none.yaml" in line["message"]
