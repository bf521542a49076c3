"""Two whole searches on one head of two CPUs: they share it, and each says at once when it waits and for whom."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.study.journal import StudyState, read_state
from orchestrator.study.paths import study_paths
from tests.orchestrator.workflow.test_search_end_to_end import SPEC, check_record
from tests.support.nodes import kill_family
from tests.support.ray_head import Head, ray_head

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.minutes, pytest.mark.timeout(1500)]
WAIT_S = 600
GATE_S = 60.0
"""A loaded model is measured on 60 images; a wait for the other search's trial would take far longer."""


class SharedHead:
    """A head, and the searches and commands that use it."""

    def __init__(self, head: Head, folder: Path) -> None:
        self.head, self.folder, self.root = head, folder, folder / "runs"
        (folder / "tiny.yaml").write_text(SPEC)
        self._environment = head.environment(AIB_ROOT=str(self.root), MLFLOW_DISABLE_TELEMETRY="true")
        self.searches: dict[str, subprocess.Popen[str]] = {}

    def start(self, name: str, owner: str, *changes: str) -> None:
        words = ["search", str(self.folder / "tiny.yaml"), "--name", name, "--address", self.head.gcs, "--json"]
        words += [word for change in ("scheduler=none", *changes) for word in ("--set", change)]
        with (self.folder / f"{name}.err").open("w") as err:
            self.searches[name] = subprocess.Popen(
                [sys.executable, "-m", "orchestrator", *words],
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
                env={**self._environment, "AIB_OWNER": owner},
            )

    def aib(self, *words: str) -> str:
        command = [sys.executable, "-m", "orchestrator", *words]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def state(self, name: str) -> StudyState:
        return read_state(study_paths(self.root, name).journal)

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.err").read_text()

    def until(self, holds: Callable[[], Any], what: str) -> None:
        deadline_s = time.monotonic() + WAIT_S
        while not holds():
            assert time.monotonic() < deadline_s, what
            for name, search in self.searches.items():
                assert search.poll() in (None, 0, 5), self.said(name)
            time.sleep(0.3)

    def ended(self, name: str) -> dict[str, Any]:
        found, _ = self.searches[name].communicate(timeout=WAIT_S)
        assert self.searches[name].returncode in (0, 5), self.said(name)
        # Ray may write a notice after the object.
        answer: dict[str, Any] = json.JSONDecoder().raw_decode(found)[0]
        return answer


@contextmanager
def shared_head(folder: Path) -> Iterator[SharedHead]:
    with ray_head(2) as head:
        shared = SharedHead(head, folder)
        try:
            yield shared
        finally:
            for search in shared.searches.values():
                if search.poll() is None:
                    kill_family(search)  # type: ignore[arg-type]


def test_two_searches_share_one_head_and_neither_kills_a_trial_nor_waits_at_its_gate(tmp_path: Path) -> None:
    with shared_head(tmp_path) as shared:
        shared.start("long", "ann@desk", "epochs=150", "trials=3", "finalists={top: 1, seeds: 1}")
        shared.until(lambda: sum(t.epoch > 0 for t in shared.state("long").trials.values()) == 2, "two trials run")
        shared.start("short", "bob@lap", "epochs=5", "trials=2", "finalists={top: 1, seeds: 1}")
        shared.until(lambda: "waiting for room" in shared.said("short"), "the second search says that it waits")
        at_first = shared.state("long")
        assert not any(trial.state == "completed" for trial in at_first.trials.values()), "no trial has ended meanwhile"
        assert "1 of 1 trial slots have no workers yet" in shared.said("short")
        assert "study long of ann@desk has 2 slots" in shared.said("short")
        status = shared.aib("status", "short")
        assert "study long of ann@desk has 2 slots" in status
        assert "1 starting, 0 running" in status
        assert "starting" in shared.aib("trials", "short")
        rows = json.loads(shared.aib("studies", "--address", shared.head.gcs, "--json"))["studies"]
        found = {row["study"]: (row["owner"], row["state"], row["slots"], row["waiting"]) for row in rows}
        assert found == {"long": ("ann@desk", "running", 2, 0), "short": ("bob@lap", "waiting for room", 0, 1)}
        assert "waiting for room" in shared.aib("studies", "--address", shared.head.gcs)
        shared.until(
            lambda: any(t.epoch > 0 for t in shared.state("short").trials.values()), "the second search trains"
        )
        handed_over = shared.state("long")
        assert any(trial.state == "completed" for trial in handed_over.trials.values()), "after the first one's trial"
        short = shared.ended("short")
        assert any(t.state == "running" for t in shared.state("long").trials.values()), (
            "the first one goes on beside it"
        )
        long = shared.ended("long")
    for name, answer in (("short", short), ("long", long)):
        check_record(shared.root, answer, answer["trials"]["planned"])
        assert answer["trials"]["failed"] == 0
        events = [json.loads(line) for line in study_paths(shared.root, name).journal.read_text().splitlines()]
        times = {event.get("stage", event["event"]): event["time"] for event in events}
        assert times["gate"] - times["publishing"] < GATE_S
        for trial in shared.state(name).trials.values():
            assert [row["epoch"] for row in trial.history] == list(range(1, len(trial.history) + 1))
