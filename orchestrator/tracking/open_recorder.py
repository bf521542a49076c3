"""Opens a study's record for its driver: reconciles it with the journal, and delivers and closes it at the end."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from typing import Any

from rich.console import Console

from orchestrator.planning.signature import signed_fields
from orchestrator.planning.trials import resolve_trial
from orchestrator.process.redact import redact
from orchestrator.study.addresses import movable_record
from orchestrator.study.study import Study
from orchestrator.tracking.buffer.buffered import BufferedTracker
from orchestrator.tracking.buffer.spool import Spool
from orchestrator.tracking.mlflow.store import artifact_root, prepare_store, tracking_uri_or_local
from orchestrator.tracking.mlflow.tracker import MlflowTracker
from orchestrator.tracking.reconcile_store import reconcile_store
from orchestrator.tracking.recorder import Recorder
from orchestrator.tracking.records import CloseStudy, DatasetInput, OpenStudy, State
from orchestrator.tracking.trial_artifacts import log_trial_artifacts

FLUSH_S = 120.0
RUN_ID_WAIT_S = 30.0


def open_record(
    stack: ExitStack,
    study: Study,
    tracking_uri: str | None,
    dataset: DatasetInput,
    console: Console,
    on_change: Callable[[str | None], None] = lambda trial: None,
) -> Recorder:
    """Opens the study's record until the stack unwinds; records that the server has not taken by then wait on disk.

    Without a `tracking_uri` the record is the local store under the study's root.
    """
    uri = tracking_uri_or_local(study.paths.root, tracking_uri)
    artifacts = artifact_root(uri, study.paths.root)
    experiment_id = prepare_store(uri, study.spec.name, artifacts)
    tracker = BufferedTracker(MlflowTracker(uri, artifacts), Spool(study.paths.spool))
    stack.callback(tracker.close)
    tags = {"aib.study": study.spec.name, "aib.signature": study.signature}
    now_ms = int(study.journal.now_s() * 1000)
    tracker.write(OpenStudy(study.spec.name, study.signature, _study_params(study), tags, timestamp_ms=now_ms))
    run_id = tracker.run_id(None, RUN_ID_WAIT_S)
    record = movable_record(study.paths, {"tracking_uri": uri, "experiment_id": experiment_id, "run_id": run_id})
    record["tracking_uri"] = redact(record["tracking_uri"])
    if record != study.journal.state.mlflow:
        study.journal.append("mlflow", record=record)
    recorder = Recorder(
        study.journal,
        tracker,
        dataset,
        tags,
        on_change=on_change,
        on_end=lambda ended: log_trial_artifacts(tracker, study.storage.of(ended.trial), ended),
    )
    stack.push(_closing(recorder, tracker, console))
    reconcile_store(recorder, lambda ended: resolve_trial(study.spec, ended.params).override({"seed": ended.seed}))
    return recorder


def _closing(recorder: Recorder, tracker: BufferedTracker, console: Console) -> Callable[..., None]:
    def close(kind: type[BaseException] | None, *_: object) -> None:
        with suppress(Exception):
            # The search has raised this error already when it changed its stage; the record must be closed in any case.
            recorder.settle()
        if recorder.journal.lost:
            # Another driver holds the study now, and writes the record.
            return
        recorder.leave_unfinished()
        stage, now_ms = recorder.journal.state.stage, int(recorder.journal.now_s() * 1000)
        failed = kind is not None and issubclass(kind, Exception)
        ended: State = "failed" if failed else "completed" if stage == "done" else "interrupted"
        tracker.write(CloseStudy(ended, {}, {}, now_ms))
        left = tracker.flush(FLUSH_S)
        if left:
            why = tracker.last_error or "it has not answered yet"
            console.print(
                f"{left} records wait on disk for the tracking server ({why}); once it is back, the same command with "
                "--resume sends them.",
                markup=False,
            )
        if tracker.num_rejected:
            console.print(
                f"{tracker.num_rejected} records were refused by the tracking server; they are kept, each with the "
                f"reason, in {tracker.rejected_file}.",
                markup=False,
            )

    return close


def _study_params(study: Study) -> Mapping[str, Any]:
    """The spec without name and trial section, as params of the parent run.

    Leaves out fields that the study's version did not have, and those that a resume may change: MLflow keeps the first
    value of a param.
    """
    stored = (study.paths.stored() or {}).get("spec", {})
    return {
        key: {name: of for name, of in value.items() if name in stored[key]} if isinstance(stored[key], dict) else value
        for key, value in signed_fields(study.spec.to_dict()).items()
        if key in stored and key not in ("name", "trial")
    }
