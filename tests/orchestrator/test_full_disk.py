"""A search whose disk is full in the middle: it stops and says so, no trial has failed, and it goes on once there is
room."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.full_disk import small_disk
from tests.orchestrator.command import aib, answer, environment

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

SPEC = """
name: full
trial:
  model: vgg-aib-qt
  model.width: 0.0625
  dataset: cluttered-digits
  epochs: 3
  data: {image_size: 16, train_images: 100, val_images: 60, test_images: 60, crop_padding: 1}
  optim: {batch_size: 32, lr: 0.02}
  evaluation: {interp_images: 30, occluder_dataset: cluttered-digits, attention_samples: 2, latent_samples: 2}
space: {bottleneck.beta: {power_of_ten: [2, 3, 4]}}
trials: 3
finalists: {top: 1, seeds: 1}
registered_model: aib-full
"""
NEEDED_S = 600.0


def test_a_search_on_a_full_disk_stops_without_a_failed_trial_and_goes_on(tmp_path: Path) -> None:
    spec, root = tmp_path / "spec.yaml", tmp_path / "runs"
    spec.write_text(SPEC)
    root.mkdir()
    with small_disk("tmpfs", root / "studies", megabytes=64) as disk:
        journal = disk.path / "full" / "journal.jsonl"
        command = [sys.executable, "-m", "orchestrator", "search", str(spec), "--root", str(root)]
        with (tmp_path / "log").open("w") as log:
            search = subprocess.Popen(command, env=environment(), stdout=log, stderr=log)
        try:
            deadline_s = time.monotonic() + NEEDED_S
            while '"event":"epoch"' not in (journal.read_text() if journal.exists() else ""):
                assert search.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline_s, (tmp_path / "log").read_text()
                time.sleep(0.02)
            with disk.full():
                code = search.wait(NEEDED_S)
        finally:
            if search.poll() is None:
                search.kill()
        said = (tmp_path / "log").read_text()
        assert code == 1, said
        assert "No space left on device" in said
        assert "--resume" in said
        assert "Traceback" not in said
        events = [json.loads(line) for line in journal.read_text().splitlines()]
        assert not [event for event in events if event["event"] == "ended" and event["state"] == "failed"], events
        resumed = aib(root, "search", str(spec), "--resume", timeout_s=NEEDED_S)
        assert resumed.returncode in (0, 5), resumed.stderr
        trials = answer(root, "trials", "full")["trials"]
        assert sorted(row["trial"] for row in trials if row["kind"] == "search") == ["t00000", "t00001", "t00002"]
        assert {row["state"] for row in trials} == {"completed"}
        assert all(row["epoch"] == 3 for row in trials)
