"""Writes a study to MLflow: one experiment per study, one parent run, one child run per trial.

Runs are found by their tags: `aib.study` together with `aib.role` = study or with `aib.trial`. No process has to
remember a run's id, so a resumed study continues its runs.

A metric is written once per (run, key, step). The last step of every key is read when a run is first used; steps up to
it are skipped. MLflow's primary key absorbs a request that is sent twice after a timeout, because value and timestamp
come from the record and are equal.

Decisions:
- A stopped trial ends FINISHED with tag `aib.state` = stopped; an interrupted trial ends KILLED.
- Metrics that are not finite are left out: MLflow stores inf as 1.8e308, which spoils the charts. The first such value
  of each key is noted in tag `aib.nonfinite` as `key@epoch=value`.
- `epoch` is the step, not a metric.
- Only MlflowClient is used, never MLflow's fluent API, whose active run is process-wide.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.process.redact import redact
from orchestrator.tracking.mlflow.errors import translated
from orchestrator.tracking.mlflow.run_writer import STATE_TAG, EpochPoint, RunWriter
from orchestrator.tracking.mlflow.store import find_or_create_experiment, mlflow_client
from orchestrator.tracking.mlflow.system_metrics import SystemMetrics
from orchestrator.tracking.records import (
    CloseStudy,
    CloseTrial,
    DatasetInput,
    LogArtifact,
    LogEpoch,
    OpenStudy,
    OpenTrial,
    Record,
    State,
)
from orchestrator.tracking.tracker import RecordRejectedError

_STATUS: dict[State, str] = {
    "completed": "FINISHED",
    "stopped": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}
_NAME = re.compile(r"[\w.-]+( [\w.-]+)*")
_MAX_TWINS = 100
"""An upper bound: fewer requests than this create one run before the store's answer is read."""
_MAX_DIGEST_CHARS = 36
"""MLflow's limit; the profile of the data set holds the whole digest."""


class MlflowTracker:
    """Sends requests from the calling thread and waits for the answers; a BufferedTracker keeps callers from waiting.

    `artifact_root` is the folder for artifacts of a local store; with None the server decides.
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
        """Trials (None: the study) whose run may exist twice, because a request to create it got no answer."""

    def write(self, record: Record) -> None:
        match record:
            case OpenStudy():
                self._open_study(record)
            case OpenTrial():
                self._open_trial(record)
            case LogEpoch():
                self.write_epochs([record])
            case LogArtifact():
                self._log_artifact(record)
            case CloseTrial():
                self._close(record.trial, record)
            case CloseStudy():
                # Stopped first, or the monitor's last point would come after the run's end.
                if self._system_metrics:
                    self._system_metrics.stop()
                self._close(None, record)

    def write_epochs(self, epochs: Sequence[LogEpoch]) -> None:
        with translated():
            points = [EpochPoint(epoch.epoch, epoch.metrics, epoch.timestamp_ms) for epoch in epochs]
            self._run(epochs[0].trial).log(points)
        self._keep_alive()

    def run_id(self, trial: str | None, timeout_s: float = 10.0) -> str | None:
        """`timeout_s` is unused: the client has its own time limits."""
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
                # This writes a tag, so a read-only store does not count as answering.
                find_or_create_experiment(self._client, self._study, self._artifact_root)
        except Exception:  # any failure here is the store's
            return False
        return True

    def ended_trials(self, timeout_s: float = 10.0) -> frozenset[str] | None:
        """`timeout_s` is unused: the client has its own time limits."""
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
        """Nothing is pending: every request has been answered."""
        return 0

    def close(self) -> None:
        if self._system_metrics:
            self._system_metrics.stop()

    def _open_study(self, record: OpenStudy) -> None:
        with translated():
            _check_name("study", record.study)
            if record.study != self._study:
                self._runs.clear()
            self._experiment_id = find_or_create_experiment(self._client, record.study, self._artifact_root)
            self._study, self._signature = record.study, record.signature
            tags = {
                **record.tags,
                "aib.study": record.study,
                "aib.role": "study",
                "aib.signature": record.signature,
            }
            run = self._find(None) or self._create(None, record.study, tags, record.timestamp_ms)
            if self._system_metrics:
                self._system_metrics.start(run.run_id)
            run.reopen(tags, record.params)

    def _open_trial(self, record: OpenTrial) -> None:
        with translated():
            _check_name("trial", record.trial)
            tags = {
                "aib.signature": self._signature,
                **record.tags,
                "aib.study": str(self._study),
                "aib.trial": record.trial,
                "mlflow.parentRunId": self._run(None).run_id,
            }
            run = self._find(record.trial) or self._create(
                record.trial, record.name or record.trial, tags, record.timestamp_ms
            )
            if record.dataset is not None:
                self._client.log_inputs(run.run_id, datasets=[_dataset_input(record.dataset)])
            run.reopen(tags, record.params)
        self._keep_alive()

    def _log_artifact(self, record: LogArtifact) -> None:
        if not Path(record.local_path).is_file():
            raise RecordRejectedError(f"there is no file {record.local_path} to log.")
        with translated():
            run_id = self._run(record.trial).run_id
            self._client.log_artifact(run_id, str(record.local_path), record.artifact_path)

    def _close(self, trial: str | None, record: CloseTrial | CloseStudy) -> None:
        with translated():
            if trial in self._doubtful:
                # By now the request without an answer has arrived or never will: search for its run again.
                self._runs.pop(trial, None)
                self._doubtful.discard(trial)
            run = self._run(trial)
            tags = {**record.tags, STATE_TAG: record.state}
            run.log_outcome(record.metrics, tags, record.timestamp_ms, new_step=trial is None)
            run.end(_STATUS[record.state], record.timestamp_ms)

    def _run(self, trial: str | None) -> RunWriter:
        run = self._find(trial) if self._study is not None else None
        if run is None:
            what = "no study is open" if trial is None or self._study is None else f"trial '{trial}' was never opened"
            raise RecordRejectedError(f"{what}: write OpenStudy, then OpenTrial, before any other record.")
        return run

    def _find(self, trial: str | None) -> RunWriter | None:
        """The run with our tags. An unanswered request may have created a second run; the unused one is deleted."""
        if trial not in self._runs:
            which = "tags.`aib.role` = 'study'" if trial is None else f"tags.`aib.trial` = '{trial}'"
            found = self._client.search_runs(
                [self._experiment_id],
                f"tags.`aib.study` = '{self._study}' and {which}",
                max_results=_MAX_TWINS,
                order_by=["attributes.start_time ASC"],
            )
            # Opening a run adds this tag; an unused twin has only the tags of its creation.
            ordered = sorted(found, key=lambda run: STATE_TAG not in run.data.tags)
            for twin in ordered[1:]:
                if STATE_TAG not in twin.data.tags:
                    self._client.delete_run(twin.info.run_id)
            if ordered:
                self._runs[trial] = RunWriter(self._client, ordered[0])
        return self._runs.get(trial)

    def _create(self, trial: str | None, name: str, tags: Mapping[str, str], timestamp_ms: int) -> RunWriter:
        clean = {key: redact(str(value))[:8000] for key, value in tags.items()}
        try:
            run = self._client.create_run(self._experiment_id, start_time=timestamp_ms, tags=clean, run_name=name)
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
