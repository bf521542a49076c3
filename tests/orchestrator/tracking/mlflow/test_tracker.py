import math
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from orchestrator.errors import PreflightError
from orchestrator.tracking.mlflow.store import find_or_create_experiment, local_tracking_uri, prepare_store
from orchestrator.tracking.mlflow.system_metrics import SystemMetrics
from orchestrator.tracking.mlflow.tracker import MlflowTracker
from orchestrator.tracking.records import (
    CloseStudy,
    CloseTrial,
    DatasetInput,
    LogArtifact,
    LogEpoch,
    OpenStudy,
    OpenTrial,
)
from orchestrator.tracking.tracker import RecordRejectedError, TrackerUnavailableError
from tests.support.free_port import free_port
from tests.support.mlflow_reader import read_runs


@pytest.fixture
def tracker(store_uri: str, tmp_path: Path) -> MlflowTracker:
    tracker = MlflowTracker(store_uri, tmp_path / "artifacts", system_metrics=False)
    tracker.write(OpenStudy("study", "s1", {}, {}))
    return tracker


def test_trial_is_a_child_run_named_and_tagged_as_the_contract_says(tracker: MlflowTracker, store_uri: str) -> None:
    tracker.write(OpenTrial("t1", "first", {}, {}, None, timestamp_ms=1_700_000_000_000))
    tracker.write(CloseTrial("t1", "completed", {}, {}, timestamp_ms=1_700_000_060_000))
    runs = read_runs(store_uri, "study")
    expected = {"aib.study": "study", "aib.trial": "t1", "aib.signature": "s1", "mlflow.parentRunId": runs[None]["id"]}
    assert expected.items() <= runs["t1"]["tags"].items()
    assert runs[None]["tags"]["aib.role"] == "study"
    assert runs["t1"]["name"] == "first"
    assert (runs["t1"]["start_ms"], runs["t1"]["end_ms"]) == (1_700_000_000_000, 1_700_000_060_000)


def test_another_process_continues_the_same_runs(tracker: MlflowTracker, store_uri: str, tmp_path: Path) -> None:
    tracker.write(OpenTrial("t1", "t1", {"a": 1}, {}, None))
    tracker.write(LogEpoch("t1", 0, {"x": 1.0}, 1))
    other = MlflowTracker(store_uri, tmp_path / "artifacts", system_metrics=False)
    other.write(OpenStudy("study", "s1", {}, {}))
    other.write_epochs([LogEpoch("t1", 0, {"x": 7.0, "late": 0.5}, 2), LogEpoch("t1", 1, {"x": 2.0}, 3)])
    runs = read_runs(store_uri, "study")
    assert set(runs) == {None, "t1"}
    assert runs["t1"]["history"] == {"x": [(0, 1.0), (1, 2.0)], "late": [(0, 0.5)]}


def test_another_process_goes_on_with_the_run_in_use_and_removes_its_twins(
    tracker: MlflowTracker, store_uri: str
) -> None:
    tracker.write(OpenTrial("t1", "t1", {"a": 1}, {}, None))
    used = tracker.run_id("t1")
    for _ in range(4):  # enough that some sort before the run in use
        tracker._create("t1", "t1", {"aib.study": "study", "aib.trial": "t1"}, 1)
    other = MlflowTracker(store_uri, system_metrics=False)
    other.write(OpenStudy("study", "s1", {}, {}))
    other.write(LogEpoch("t1", 1, {"x": 1.0}, 1))
    runs = read_runs(store_uri, "study")
    assert runs["t1"]["id"] == used
    assert runs["t1"]["history"] == {"x": [(1, 1.0)]}


def test_a_run_whose_creation_arrives_after_it_was_asked_for_again_is_there_once_when_it_ends(
    tracker: MlflowTracker, store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, given_up = tracker._client.create_run, []

    def unanswered(*arguments: Any, **options: Any) -> None:
        given_up.append((arguments, options))
        raise TimeoutError("no answer")

    with monkeypatch.context() as patched:
        patched.setattr(tracker._client, "create_run", unanswered)
        with pytest.raises(TrackerUnavailableError):
            tracker.write(OpenTrial("t1", "t1", {"a": 1}, {}, None))
    tracker.write(OpenTrial("t1", "t1", {"a": 1}, {}, None))
    used = tracker.run_id("t1")
    create(*given_up[0][0], **given_up[0][1])
    with pytest.raises(AssertionError, match="two runs"):
        read_runs(store_uri, "study")
    tracker.write(LogEpoch("t1", 1, {"x": 1.0}, 1))
    tracker.write(CloseTrial("t1", "completed", {}, {}))
    run = read_runs(store_uri, "study")["t1"]
    assert (run["id"], run["status"], run["history"]) == (used, "FINISHED", {"x": [(1, 1.0)]})


def test_one_request_carries_an_epoch_with_all_its_metrics(tracker: MlflowTracker) -> None:
    tracker.write(OpenTrial("t1", "t1", {}, {}, None))
    client, requests = tracker._client, []
    original = client.log_batch
    client.log_batch = lambda *args, **kwargs: (requests.append(1), original(*args, **kwargs))
    for epoch in range(4):
        tracker.write(LogEpoch("t1", epoch, {f"m{i}": float(i) for i in range(30)}, epoch))
    tracker.write(LogEpoch("t1", 3, {"m1": 1.0}, 9))
    assert len(requests) == 4


def test_a_long_backlog_is_split_at_the_limit_of_a_request(tracker: MlflowTracker, store_uri: str) -> None:
    tracker.write(OpenTrial("t1", "t1", {}, {}, None))
    tracker.write_epochs([LogEpoch("t1", e, {f"m{i}": 0.5 for i in range(15)}, e) for e in range(90)])
    history = read_runs(store_uri, "study")["t1"]["history"]
    assert len(history) == 15
    assert all([step for step, _ in steps] == list(range(90)) for steps in history.values())


def test_metrics_that_are_not_finite_are_noted_once_and_left_out(tracker: MlflowTracker, store_uri: str) -> None:
    tracker.write(OpenTrial("t1", "t1", {}, {}, None))
    tracker.write(LogEpoch("t1", 0, {"x": 1.0, "loss": math.nan}, 1))
    tracker.write(LogEpoch("t1", 1, {"x": math.inf, "loss": math.nan, "epoch": 1}, 2))
    run = read_runs(store_uri, "study")["t1"]
    assert run["history"] == {"x": [(0, 1.0)]}
    assert run["tags"]["aib.nonfinite"] == "loss@0=nan x@1=inf"


def test_a_changed_param_is_refused_after_everything_else_was_written(tracker: MlflowTracker, store_uri: str) -> None:
    tracker.write(OpenTrial("t1", "t1", {"optim.lr": 0.1}, {}, None))
    tracker.write(CloseTrial("t1", "interrupted", {}, {}))
    with pytest.raises(RecordRejectedError, match=r"optim\.lr is recorded as '0\.1', now given as '0\.2'"):
        tracker.write(OpenTrial("t1", "t1", {"optim.lr": 0.2, "new": "n"}, {"resumed": "yes"}, None))
    run = read_runs(store_uri, "study")["t1"]
    assert run["params"] == {"optim.lr": "0.1", "new": "n"}
    assert run["status"] == "RUNNING"
    assert run["tags"]["resumed"] == "yes"


def test_a_study_with_another_signature_is_refused(tracker: MlflowTracker, store_uri: str) -> None:
    with pytest.raises(RecordRejectedError, match=r"'s1'.*'s2'"):
        tracker.write(OpenStudy("study", "s2", {}, {}))
    assert read_runs(store_uri, "study")[None]["tags"]["aib.signature"] == "s1"


def test_many_and_long_params_fit_the_limits(tracker: MlflowTracker, store_uri: str) -> None:
    params = {f"p{i}": i for i in range(250)} | {"long": "y" * 7000}
    for _ in range(2):
        tracker.write(OpenTrial("t1", "t1", params, {}, None))
    recorded = read_runs(store_uri, "study")["t1"]["params"]
    assert len(recorded) == 251
    assert len(recorded["long"]) == 6000


def test_no_secret_reaches_the_store(tracker: MlflowTracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "canary-9f8e7d")
    secret = "s3://key:canary-1a2b3c@bucket/data"
    data = DatasetInput(name="d", digest="0" * 64, source=secret, num_train=1)
    tracker.write(
        OpenTrial("t1", "t1", {"source": secret, "password": "canary-4d5e6f"}, {"cmd": "--token canary-9f8e7d"}, data)
    )
    tracker.write(CloseTrial("t1", "failed", {}, {"aib.reason": f"cannot read {secret}"}))
    stored = (tmp_path / "mlflow.db").read_bytes()
    assert b"bucket/data" in stored
    assert b"canary" not in stored


def test_a_resumed_study_that_ends_better_shows_the_better_value(tracker: MlflowTracker, store_uri: str) -> None:
    tracker.write(CloseStudy("interrupted", {"best": 20.0}, {}))
    for _ in range(2):
        tracker.write(OpenStudy("study", "s1", {}, {}))
        tracker.write(CloseStudy("completed", {"best": 18.0}, {}))
    assert read_runs(store_uri, "study")[None]["history"]["best"] == [(0, 20.0), (1, 18.0)]


def test_logging_to_a_trial_that_was_never_opened_is_refused(tracker: MlflowTracker) -> None:
    with pytest.raises(RecordRejectedError, match="'t9' was never opened"):
        tracker.write(LogEpoch("t9", 0, {"x": 1.0}, 1))


@pytest.mark.parametrize("name", ["x' or tags.a != 'b", "", "a/b"])
def test_a_trial_name_that_could_escape_the_query_is_refused(tracker: MlflowTracker, name: str) -> None:
    with pytest.raises(RecordRejectedError, match="trial name"):
        tracker.write(OpenTrial(name, name, {}, {}, None))


def test_a_missing_artifact_is_refused(tracker: MlflowTracker, tmp_path: Path) -> None:
    with pytest.raises(RecordRejectedError, match=r"no file .*gone\.png"):
        tracker.write(LogArtifact(None, tmp_path / "gone.png"))


def test_artifacts_of_a_local_store_lie_under_the_root(tracker: MlflowTracker, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    tracker.write(LogArtifact(None, tmp_path / "a.txt", "notes"))
    run_id = tracker.run_id(None)
    assert (tmp_path / "artifacts" / "study" / str(run_id) / "artifacts" / "notes" / "a.txt").read_text() == "a"


def test_prepare_store_creates_database_and_experiment_once(store_uri: str, tmp_path: Path) -> None:
    first = prepare_store(store_uri, "study", tmp_path / "artifacts")
    assert first is not None
    assert prepare_store(store_uri, "study", tmp_path / "artifacts") == first


def test_an_experiment_that_another_driver_made_in_between_is_used(store_uri: str, tmp_path: Path) -> None:
    class Slower(MlflowClient):  # type: ignore[misc]
        """Another driver creates the experiment between this one's search for it and its own attempt."""

        made: str | None = None

        def create_experiment(self, name: str, **options: Any) -> str:
            self.made = str(MlflowClient(store_uri).create_experiment(name))
            return str(super().create_experiment(name, **options))

    slower = Slower(store_uri)
    found = find_or_create_experiment(slower, "study", tmp_path)
    assert found == slower.made
    assert MlflowClient(store_uri).get_experiment(found).tags["mlflow.experimentKind"] == "custom_model_development"


def test_a_deleted_experiment_of_that_name_is_a_clear_error(store_uri: str, tmp_path: Path) -> None:
    experiment_id = prepare_store(store_uri, "study")
    MlflowClient(store_uri).delete_experiment(str(experiment_id))
    with pytest.raises(PreflightError, match=f"'study' was deleted.*experiment-id {experiment_id}"):
        prepare_store(store_uri, "study")
    with pytest.raises(RecordRejectedError, match="was deleted"):
        MlflowTracker(store_uri, system_metrics=False).write(OpenStudy("study", "s1", {}, {}))


def test_a_server_that_is_down_is_refused_in_seconds_without_its_password(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(PreflightError, match=r"\*\*\*@127\.0\.0\.1.*cannot be reached") as caught:
        prepare_store(f"http://user:hunter2x@127.0.0.1:{free_port()}")
    assert time.monotonic() - started < 5
    assert "hunter2x" not in str(caught.value)


def test_a_server_that_never_answers_is_refused_in_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(PreflightError, match="cannot be used"):
            prepare_store(f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - started < 15


def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("notes" * 100)
    with pytest.raises(PreflightError, match=r"mlflow\.db"):
        prepare_store(local_tracking_uri(tmp_path))
    assert (tmp_path / "mlflow.db").read_text() == "notes" * 100


def test_a_locked_database_is_unavailable_not_rejected(
    tracker: MlflowTracker, store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker.write(OpenTrial("t1", "t1", {}, {}, None))
    # MLflow waits 20 s for a lock; here SQLite refuses after 0.1 s.
    monkeypatch.setattr("mlflow.store.db.utils.sql.text", _without_busy_timeout())
    with sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None) as locker:
        locker.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackerUnavailableError, match="locked"):
            tracker.write(LogEpoch("t1", 0, {"x": 1.0}, 1))
        locker.execute("ROLLBACK")
    tracker.write(LogEpoch("t1", 0, {"x": 1.0}, 1))
    assert read_runs(store_uri, "study")["t1"]["history"] == {"x": [(0, 1.0)]}


def _without_busy_timeout():  # type: ignore[no-untyped-def]
    from sqlalchemy import text

    return lambda statement: text(statement.replace("busy_timeout = 20000", "busy_timeout = 100"))


def test_system_metrics_are_sampled_on_the_run_and_continue_after_a_restart(
    tracker: MlflowTracker, store_uri: str
) -> None:
    run_id = str(tracker.run_id(None))
    for _ in range(2):
        metrics = SystemMetrics(store_uri, sample_s=0.2, samples=1)
        metrics.start(run_id)
        assert metrics.running
        time.sleep(0.7)
        metrics.stop()
        assert not metrics.running
    history = MlflowClient(store_uri).get_metric_history(run_id, "system/cpu_utilization_percentage")
    steps = [metric.step for metric in history]
    assert len(steps) >= 2
    assert len(set(steps)) == len(steps)


def test_system_metrics_that_died_in_an_outage_come_back(tracker: MlflowTracker, store_uri: str) -> None:
    run_id = str(tracker.run_id(None))
    metrics = SystemMetrics(store_uri, sample_s=0.1, samples=1)
    metrics.start("0" * 32)  # no such run: the monitor ends, as it does in an outage
    time.sleep(0.5)
    assert not metrics.running
    metrics._run_id = run_id
    metrics.keep_alive()
    assert metrics.running
    metrics.stop()
