"""A Tracker over MLflow: one experiment per study, a parent run, one child run per trial. MlflowClient only.

Runs are found by their tags (`aib.study` with `aib.role` = study, or with `aib.trial`), never by a process's memory,
so a resumed study continues them. A metric is written once per (run, key, step): the last step of every key is read
when a run is first touched, and steps up to it are skipped; a request sent twice after a timeout is absorbed by
MLflow's primary key, because values and timestamps are the record's own.

Decisions: a stopped trial ends FINISHED with tag `aib.state` = stopped (KILLED is an interrupted one). Metrics that
are not finite are left out, because MLflow stores inf as 1.8e308 and spoils the charts; the first of each key is
noted in tag `aib.nonfinite` as `key@epoch=value`. `epoch` is the step, not a metric.
"""

import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.process.redact import redact
from orchestrator.tracking.mlflow.errors import translated
from orchestrator.tracking.mlflow.run_writer import STATE_TAG, RunWriter
from orchestrator.tracking.mlflow.store import find_or_create_experiment, mlflow_client
from orchestrator.tracking.mlflow.system_metrics import SystemMetrics
from orchestrator.tracking.tracker import DatasetInput, EpochPoint, RecordRejectedError, State

_STATUS: dict[State, str] = {
    "completed": "FINISHED",
    "stopped": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}
_NAME = re.compile(r"[\w.-]+( [\w.-]+)*")
_MAX_TWINS = 100
"""More requests than this are never sent for one run before the store's answer is read."""
_MAX_DIGEST_CHARS = 36
"""MLflow's limit; the whole digest is in the data set's profile."""


class MlflowTracker:
    """Talks to the store directly, in the calling thread: put a BufferedTracker before it.

    `artifact_root` is the folder of a local store's artifacts; None leaves it to the server.
    """

    def __init__(self, tracking_uri: str, artifact_root: str | Path | None = None, system_metrics: bool = True) -> None:
        self._client = mlflow_client(tracking_uri)
        self._artifact_root = artifact_root
        self._system_metrics = SystemMetrics(tracking_uri) if system_metrics else None
        self._study: str | None = None
        self._signature = ""
        self._experiment_id = ""
        self._runs: dict[str | None, RunWriter] = {}
        self._doubtful: set[str | None] = set()
        """Whose run may have been created twice: a request to create it got no answer."""

    def open_study(
        self,
        study: str,
        signature: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        *,
        timestamp_ms: int | None = None,
    ) -> None:
        with translated():
            _check_name("study", study)
            if study != self._study:
                self._runs.clear()
            self._experiment_id = find_or_create_experiment(self._client, study, self._artifact_root)
            self._study, self._signature = study, signature
            own = {"aib.study": study, "aib.role": "study", "aib.signature": signature}
            run = self._find(None) or self._create(None, study, {**tags, **own}, timestamp_ms)
            if self._system_metrics:
                self._system_metrics.start(run.run_id)
            run.reopen({**tags, **own}, params)

    def open_trial(
        self,
        trial: str,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        dataset: DatasetInput | None,
        *,
        timestamp_ms: int | None = None,
    ) -> None:
        with translated():
            _check_name("trial", trial)
            parent = self._run(None)
            own = {"aib.study": str(self._study), "aib.trial": trial, "mlflow.parentRunId": parent.run_id}
            all_tags = {"aib.signature": self._signature, **tags, **own}
            run = self._find(trial) or self._create(trial, name or trial, all_tags, timestamp_ms)
            if dataset is not None:
                self._client.log_inputs(run.run_id, datasets=[_dataset_input(dataset)])
            run.reopen(all_tags, params)
        self._keep_alive()

    def log_epoch(self, trial: str, epoch: int, metrics: Mapping[str, float], timestamp_ms: int) -> None:
        self.log_epochs(trial, [EpochPoint(epoch, metrics, timestamp_ms)])

    def log_epochs(self, trial: str, points: Sequence[EpochPoint]) -> None:
        with translated():
            self._run(trial).log(points)
        self._keep_alive()

    def log_artifact(self, trial: str | None, local_path: str | Path, artifact_path: str | None = None) -> None:
        if not Path(local_path).is_file():
            raise RecordRejectedError(f"there is no file {local_path} to log.")
        with translated():
            self._client.log_artifact(self._run(trial).run_id, str(local_path), artifact_path)

    def close_trial(
        self,
        trial: str,
        state: State,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        *,
        timestamp_ms: int | None = None,
    ) -> None:
        self._close(trial, state, metrics, tags, timestamp_ms)

    def close_study(
        self, state: State, metrics: Mapping[str, float], tags: Mapping[str, str], *, timestamp_ms: int | None = None
    ) -> None:
        # First, or the monitor's last point would come after the run's end.
        if self._system_metrics:
            self._system_metrics.stop()
        self._close(None, state, metrics, tags, timestamp_ms)

    def run_id(self, trial: str | None, timeout_s: float = 10.0) -> str | None:
        """`timeout_s` is not used: the client's own limits hold."""
        if self._study is None:
            return None
        with translated():
            run = self._find(trial)
        return run.run_id if run else None

    def answers(self) -> bool:
        try:
            if self._study is None:
                self._client.search_experiments(max_results=1)
            else:
                # It writes a tag: a store that can only be read does not take records.
                find_or_create_experiment(self._client, self._study, self._artifact_root)
        except Exception:  # whatever the reason, it is the store's
            return False
        return True

    def ended_trials(self, timeout_s: float = 10.0) -> frozenset[str] | None:
        """`timeout_s` is not used: the client's own limits hold."""
        if self._study is None:
            return None
        ended, page = set[str](), None
        which = f"tags.`aib.study` = '{self._study}' and attributes.status != 'RUNNING'"
        while page is None or page.token:
            with translated():
                page = self._client.search_runs(
                    [self._experiment_id], which, max_results=1000, page_token=page and page.token
                )
            tags = [run.data.tags for run in page]
            ended |= {own["aib.trial"] for own in tags if "aib.trial" in own and own.get(STATE_TAG) != "interrupted"}
        return frozenset(ended)

    def flush(self, timeout_s: float) -> int:
        """Nothing is ever pending here."""
        return 0

    def close(self) -> None:
        if self._system_metrics:
            self._system_metrics.stop()

    def _close(
        self,
        trial: str | None,
        state: State,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        timestamp_ms: int | None,
    ) -> None:
        at_ms = _now_ms() if timestamp_ms is None else timestamp_ms
        with translated():
            if trial in self._doubtful:
                # By now a request that was given up has arrived too, or never will: look once more.
                self._runs.pop(trial, None)
                self._doubtful.discard(trial)
            run = self._run(trial)
            run.log_outcome(metrics, {**tags, STATE_TAG: state}, at_ms, new_step=trial is None)
            run.end(_STATUS[state], at_ms)

    def _run(self, trial: str | None) -> RunWriter:
        run = self._find(trial) if self._study is not None else None
        if run is None:
            what = "no study is open" if trial is None or self._study is None else f"trial '{trial}' was never opened"
            raise RecordRejectedError(f"{what}: call open_study, then open_trial, before anything is logged.")
        return run

    def _find(self, trial: str | None) -> RunWriter | None:
        """The run with our tags. Should a request that got no answer have made two, the one not in use is deleted."""
        if trial not in self._runs:
            which = "tags.`aib.role` = 'study'" if trial is None else f"tags.`aib.trial` = '{trial}'"
            found = self._client.search_runs(
                [self._experiment_id],
                f"tags.`aib.study` = '{self._study}' and {which}",
                max_results=_MAX_TWINS,
                order_by=["attributes.start_time ASC"],
            )
            # One that was opened has this tag; a twin has only what it was created with.
            ordered = sorted(found, key=lambda run: STATE_TAG not in run.data.tags)
            for twin in ordered[1:]:
                if STATE_TAG not in twin.data.tags:
                    self._client.delete_run(twin.info.run_id)
            if ordered:
                self._runs[trial] = RunWriter(self._client, ordered[0])
        return self._runs.get(trial)

    def _create(self, trial: str | None, name: str, tags: Mapping[str, str], timestamp_ms: int | None) -> RunWriter:
        clean = {key: redact(str(value))[:8000] for key, value in tags.items()}
        start_ms = _now_ms() if timestamp_ms is None else timestamp_ms
        try:
            run = self._client.create_run(self._experiment_id, start_time=start_ms, tags=clean, run_name=name)
        except Exception:
            self._doubtful.add(trial)
            raise
        self._runs[trial] = RunWriter(self._client, run)
        return self._runs[trial]

    def _keep_alive(self) -> None:
        if self._system_metrics:
            self._system_metrics.keep_alive()


def _check_name(what: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise RecordRejectedError(f"{what} name {name!r}: use letters, digits, '.', '_', '-' and single spaces.")


def _dataset_input(dataset: DatasetInput) -> Any:
    from mlflow.entities import Dataset, InputTag
    from mlflow.entities import DatasetInput as MlflowDatasetInput

    sizes = {"num_train": dataset.num_train, "num_val": dataset.num_val, "num_test": dataset.num_test}
    entity = Dataset(
        name=dataset.name,
        digest=dataset.digest[:_MAX_DIGEST_CHARS],
        source_type="local",
        source=json.dumps({"uri": redact(dataset.source)}),
        profile=json.dumps({**sizes, "digest": dataset.digest}),
    )
    return MlflowDatasetInput(entity, tags=[InputTag("mlflow.data.context", "training")])


def _now_ms() -> int:
    return int(time.time() * 1000)
