"""A list of trials in real slots: at most one trial waits per slot, and none starts once the study cannot continue."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.finalists import fixed_trials
from orchestrator.finalists.fixed_trials import PlannedTrial, run_trials
from orchestrator.ray_cluster.connection import Cluster
from orchestrator.slots.client import Lease, acquire
from orchestrator.slots.pool import SlotPool
from orchestrator.slots.spec import SlotSpec
from orchestrator.study.checkpoint_storage import TrialStorage
from orchestrator.study.journal import Journal, LockLostError
from orchestrator.tracking.recorder import Recorder
from orchestrator.tracking.records import DatasetInput, OpenStudy
from tests.support.recording_tracker import RecordingTracker
from tests.support.small_science import SmallReport, fit_small, small_trial
from trainables.config.trial import TrialConfig
from trainables.runtime.runtime import Runtime

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def fit_by_name(config: Mapping[str, Any], runtime: Runtime, resume: Path | None) -> Iterator[SmallReport]:
    return fit_small(small_trial(epochs=config["epochs"], seed=config["seed"], epoch_s=0.2), runtime, resume)


@pytest.fixture(scope="module")
def pool(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlotPool]:
    with SlotPool([1], SlotSpec(cpus_per_worker=1, storage=tmp_path_factory.mktemp("fixed"), fit=fit_by_name)) as slots:
        yield slots


class Trials:
    """`number` trials of two epochs; counts how many wait for a slot at a time."""

    def __init__(self, folder: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.journal = folder, Journal(folder / "journal.jsonl")
        tracker = RecordingTracker()
        tracker.write(OpenStudy("s", "0", {}, {}))
        data = DatasetInput(name="d", digest="0", source="s", num_train=1)
        self.watch: Callable[[str | None], None] = lambda trial: None
        self.recorder = Recorder(self.journal, tracker, data, {}, on_change=self._changed)
        config = TrialConfig.from_dict({"model": "vgg", "epochs": 2})
        self.planned = [PlannedTrial(trial=f"f{i}", kind="train", config=config, params={}) for i in range(number)]
        self.waiting, self.most_waiting, self._lock = 0, 0, threading.Lock()
        acquire = fixed_trials.acquire

        def counted(*arguments: Any, **named: Any) -> Lease:
            with self._one_more_waits():
                return acquire(*arguments, **named)

        monkeypatch.setattr(fixed_trials, "acquire", counted)

    def _changed(self, trial: str | None) -> None:
        self.watch(trial)

    def run(self, pool: SlotPool, interrupted: threading.Event | None = None) -> None:
        storage = TrialStorage(self.folder / "trials")
        run_trials(self.planned, self.recorder, pool, storage, self.folder, 2, interrupted or threading.Event())

    @contextmanager
    def _one_more_waits(self) -> Iterator[None]:
        with self._lock:
            self.waiting += 1
            self.most_waiting = max(self.most_waiting, self.waiting)
        try:
            yield
        finally:
            with self._lock:
                self.waiting -= 1


def test_no_trial_starts_after_another_driver_has_taken_the_study(
    pool: SlotPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = Trials(tmp_path, 4, monkeypatch)

    def taken_over(trial: str | None) -> None:
        if trials.journal.state.trials["f0"].epoch == 1:
            with trials.journal.path.open("ab") as others:
                others.write(b"{}\n")

    trials.watch = taken_over
    with pytest.raises(LockLostError):
        trials.run(pool)
    assert [path.name for path in (tmp_path / "trials").iterdir()] == ["f0"]


def test_as_many_trials_wait_as_there_are_slots_also_when_these_become_more(
    pool: SlotPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = Trials(tmp_path, 8, monkeypatch)
    at_first: list[int] = []

    def grown(trial: str | None) -> None:
        if trial == "f1" and trials.journal.state.trials[trial].state == "completed":
            at_first.append(trials.most_waiting)
            pool.resize([1, 1])

    trials.watch = grown
    trials.run(pool)
    assert {record.state for record in trials.journal.state.trials.values()} == {"completed"}
    assert at_first == [1]
    assert trials.most_waiting == 2


def test_trials_that_wait_for_a_slot_are_called_off_at_once(
    pool: SlotPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials, interrupted = Trials(tmp_path, 2, monkeypatch), threading.Event()
    with ThreadPoolExecutor(1) as owner, ExitStack() as taken:
        for number in range(pool.size):
            taken.enter_context(acquire(pool.ref, f"somebody {number}", timeout_s=60))
        running = owner.submit(trials.run, pool, interrupted)
        while not trials.waiting:
            time.sleep(0.05)
        interrupted.set()
        running.result(timeout=5)
    assert {record.state for record in trials.journal.state.trials.values()} == {"running"}
