"""Tracking: results/s from the driver to SQLite and to a local MLflow server, with journal and disk buffer on.

A result is one epoch of one trial with all its metrics. Other: the training process calls the store once for every
metric. The script counts requests at their source: calls of the database store, and HTTP requests to the server.
"""

import argparse
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import requests

from benchmarks.support.measure import Figure, interleave, median, run
from orchestrator.study.journal import Journal
from orchestrator.tracking.buffer.buffered import BufferedTracker
from orchestrator.tracking.buffer.spool import Spool
from orchestrator.tracking.mlflow.store import local_tracking_uri, mlflow_client, prepare_store
from orchestrator.tracking.mlflow.tracker import MlflowTracker
from orchestrator.tracking.recorder import Recorder
from orchestrator.tracking.records import DatasetInput, OpenStudy
from trainables.config.trial import TrialConfig
from trainables.metrics import PER_EPOCH

SERVER_START_S = 120.0
DELIVERY_S = 300.0
DATASET = DatasetInput(name="cluttered-digits", digest="0" * 64, source="composed", num_train=100)


class Requests:
    """Counts the requests of the process by thread."""

    def __init__(self) -> None:
        self.by_thread: Counter[str] = Counter()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Counts HTTP requests, and the database store's calls that write metrics, during the block."""
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        send, log_batch = requests.Session.send, SqlAlchemyStore.log_batch

        def counted(inner: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **named: Any) -> Any:
                self.by_thread[threading.current_thread().name] += 1
                return inner(*arguments, **named)

            return call

        with (
            patch.object(requests.Session, "send", counted(send)),
            patch.object(SqlAlchemyStore, "log_batch", counted(log_batch)),
        ):
            yield


def measure(chosen: argparse.Namespace) -> Figure:
    os.environ["MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"] = "false"
    trials, epochs, other_results, rounds = (3, 4, 2, 1) if chosen.quick else (16, 60, 20, 5)
    stores: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        local = local_tracking_uri(scratch / "local")
        with server(scratch / "server") as address:
            for kind, uri in (("sqlite", local), ("server", address)):
                stores[kind] = one_store(uri, scratch / kind, trials, epochs, other_results, rounds)
    slowest = min(stores.values(), key=lambda found: float(found["results_per_s"]))
    return Figure(
        name="tracking_results_per_s",
        ours=slowest["results_per_s"],
        other=slowest["other_results_per_s"],
        ratio=slowest["results_per_s"],
        unit="results/s",
        what={
            "ours": "journal, disk buffer and MLflow, until the last result has arrived; the slower of the two stores",
            "other": "one call of MlflowClient.log_metric for each metric",
            "ratio": "results/s of ours",
        },
        details={
            "stores": stores,
            "trials": trials,
            "epochs": epochs,
            "metrics_per_result": len(epoch_metrics(1)),
            "rounds": rounds,
        },
    )


def one_store(uri: str, folder: Path, trials: int, epochs: int, other_results: int, rounds: int) -> dict[str, Any]:
    """Rates of both ways, and the time that our way costs its caller."""
    prepare_store(uri, "warm")
    counted = Requests()
    call_s: list[float] = []
    number = 0

    def ours() -> float:
        nonlocal number
        number += 1
        with recording(uri, folder / f"round-{number}", f"ours-{number}") as (recorder, tracker):
            for trial in range(trials):
                recorder.trial_started(f"t{trial:05d}", "search", {}, TrialConfig.from_dict({"seed": trial}))
            assert tracker.flush(DELIVERY_S) == 0
            started_s = time.perf_counter()
            with counted.counted():
                for epoch in range(1, epochs + 1):
                    for trial in range(trials):
                        before_s = time.perf_counter()
                        recorder.epoch(f"t{trial:05d}", epoch_metrics(epoch))
                        call_s.append(time.perf_counter() - before_s)
                assert tracker.flush(DELIVERY_S) == 0
            took_s = time.perf_counter() - started_s
            assert tracker.num_rejected == 0
        return trials * epochs / took_s

    client = mlflow_client(uri)
    experiment = client.create_experiment("one call a metric")

    def other() -> float:
        run_id = client.create_run(experiment).info.run_id
        started_s = time.perf_counter()
        for epoch in range(1, other_results + 1):
            for name, value in epoch_metrics(epoch).items():
                client.log_metric(run_id, name, value, step=epoch)
        return other_results / (time.perf_counter() - started_s)

    rates = interleave({"ours": ours, "other": other}, rounds)
    results = trials * epochs * rounds
    return {
        "results_per_s": median(rates["ours"]),
        "other_results_per_s": median(rates["other"]),
        "by_round": rates,
        "requests_per_trial_and_epoch": sum(counted.by_thread.values()) / results,
        "requests_by_thread": dict(counted.by_thread),
        "caller_ms_per_result": {"median": 1e3 * median(call_s), "largest": 1e3 * max(call_s)},
    }


def epoch_metrics(epoch: int) -> dict[str, float]:
    """The metrics of one epoch of a trial with a bottleneck and maps."""
    return {"epoch": float(epoch), **{name: 1.0 / (epoch + place) for place, name in enumerate(PER_EPOCH)}}


@contextmanager
def recording(uri: str, folder: Path, study: str) -> Iterator[tuple[Recorder, BufferedTracker]]:
    """Opens the record of a study as a search does."""
    folder.mkdir(parents=True)
    prepare_store(uri, study)
    journal = Journal(folder / "journal.jsonl")
    tracker = BufferedTracker(MlflowTracker(uri, system_metrics=False), Spool(folder / "spool"))
    try:
        tracker.write(OpenStudy(study, "signature", {}, {}))
        yield Recorder(journal, tracker, DATASET, {}), tracker
    finally:
        tracker.close()
        journal.close()


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Starts an MLflow server on loopback over SQLite; yields its address."""
    folder.mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, log = f"http://127.0.0.1:{port}", folder / "server.log"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", local_tracking_uri(folder), "--artifacts-destination", str(folder / "artifacts")]
    environment = {**os.environ, "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16)}
    # Background jobs would start eight processes; a search needs none, as on the server of cluster/mlflow.
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    with log.open("wb") as out:
        # In its own process group: the server starts workers, and they survive if only the server is killed.
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment, start_new_session=True)
    try:
        await_health(address, process, log)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def await_health(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline_s = time.monotonic() + SERVER_START_S
    while True:
        with suppress(requests.ConnectionError, requests.Timeout):
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise RuntimeError(f"the MLflow server did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(run(__doc__, measure))
