"""A search handed to a cluster: one running job a study, whoever submits it and however often."""

import json
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from rich.console import Console

from orchestrator.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, PreflightError
from orchestrator.planning.signature import spec_signature
from orchestrator.planning.trials import check_trials
from orchestrator.process.redact import redact
from orchestrator.submission.environment import JobEnvironment, job_environment
from orchestrator.submission.follow import follow
from orchestrator.submission.jobs_api import (
    ROOT,
    SIGNATURE,
    STUDY,
    JobExistsError,
    JobsApi,
    JobsUnreachableError,
    connect_jobs,
)
from orchestrator.submission.ray_job import NO_PROGRAM, RayJob, exit_code_of, free_id, jobs_of
from orchestrator.submission.upload import parcel, spec_in_parcel
from orchestrator.tracking.mlflow.store import check_tracking_uri
from search_spaces.schema import load_spec
from trainables.checkpoints.bucket import Bucket
from trainables.errors import ConfigError

PYTHON = "python"
ATTEMPTS = 5


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What is to run, and what it is given on the cluster."""

    spec: Path
    sets: tuple[str, ...] = ()
    name: str | None = None
    root: str | None = None
    """A folder that every node of the cluster reaches; None leaves it to the cluster's AIB_ROOT."""
    tracking_uri: str | None = None
    storage: str | None = None
    copy_data: bool | None = None
    send_credentials: bool = False
    """Whether the job gets our MLflow and S3 credentials, which Ray then logs and shows; else the cluster's count."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of the node for the driver; none: the head."""

    def environment(self, ours: Mapping[str, str]) -> JobEnvironment:
        """Of the job, whose submitter's environment is `ours`."""
        given = {
            "AIB_ROOT": self.root,
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "AIB_STORAGE": self.storage,
            "AIB_COPY_DATA": None if self.copy_data is None else str(int(self.copy_data)),
        }
        return job_environment(ours, given, self.send_credentials)


def submit_search(
    submission: Submission, address: str, *, wait: bool, console: Console, write: Callable[[str], None]
) -> tuple[RayJob, int]:
    """Starts the search as a job, or joins the one that runs already; the job, and the exit code to leave with.

    The spec is checked before the cluster is asked, and the cluster before anything is sent.
    """
    overrides = [*submission.sets, *([f"name={json.dumps(submission.name)}"] if submission.name is not None else [])]
    spec = load_spec(submission.spec, overrides)
    check_trials(spec)
    root = _root_there(submission.root)
    if submission.tracking_uri:
        check_tracking_uri(submission.tracking_uri)
    if submission.storage:
        Bucket.from_uri(submission.storage)
    api = connect_jobs(address)
    if submission.labels:
        _check_labels(api, submission.labels)
    environment = submission.environment(os.environ)
    job, ours = _start_or_join(api, submission, environment.variables, spec.name, spec_signature(spec), root)
    how = f"stop: ray job stop --address {api.url} {job.id}    look: aib status {spec.name} --address {address}"
    console.print(f"job {job.id} {'was submitted' if ours else 'runs already'}; {how}", markup=False)
    if ours and environment.kept:
        console.print(
            f"the credentials in {', '.join(environment.kept)} stay here, and the cluster's own count; "
            "--send-credentials sends them, and Ray then writes them to its logs",
            markup=False,
        )
    if not wait:
        return job, EXIT_DONE
    try:
        ended = follow(api, job.id, write)
    except KeyboardInterrupt:
        console.print(f"the job goes on without us; to follow it again, the same command; {how}", markup=False)
        return job, EXIT_INTERRUPTED
    except JobsUnreachableError as error:
        console.print(f"{redact(str(error))}\nthe job may go on; to follow it again, the same command", markup=False)
        return job, EXIT_FAILED
    if ended.exit_code is None and ended.status != "SUCCEEDED":
        console.print(f"job {ended.id} {ended.status.lower()}: {redact(ended.message)}", markup=False)
    if ended.exit_code in NO_PROGRAM:
        console.print(f"there is no `{PYTHON}` on the PATH with which the cluster's head was started", markup=False)
    code = exit_code_of(ended)
    if code != EXIT_DONE:
        console.print(f"job {ended.id} left with exit code {code}", markup=False)
    return ended, code


def _root_there(root: str | None) -> str | None:
    if root is not None and not PurePosixPath(root).is_absolute():
        raise ConfigError(
            f"--root (or AIB_ROOT) is {root!r}, and a job starts in a folder of its own that is deleted after it; give "
            "the absolute path of a folder that every node of the cluster reaches, or leave it out where the cluster "
            "has AIB_ROOT set."
        )
    return root


def _start_or_join(
    api: JobsApi, submission: Submission, variables: dict[str, str], study: str, signature: str, root: str | None
) -> tuple[RayJob, bool]:
    """The job, and whether it is ours."""
    metadata = {STUDY: study, SIGNATURE: signature, ROOT: root or ""}
    for _ in range(ATTEMPTS):
        jobs = api.jobs()
        running = next((job for job in reversed(jobs_of(study, jobs)) if not job.ended), None)
        if running is not None:
            _check_same(running, study, signature, root)
            return running, False
        job_id = free_id(study, jobs)
        with parcel(submission.spec) as folder:
            runtime_env = {"env_vars": variables, "working_dir": str(folder)}
            try:
                api.submit(
                    job_id,
                    entrypoint(submission),
                    runtime_env=runtime_env,
                    metadata=metadata,
                    labels=submission.labels,
                )
            except JobExistsError:
                continue
        return api.job(job_id), True
    raise PreflightError(f"other submitters took {ATTEMPTS} ids of '{study}' before us; try again.")


def entrypoint(submission: Submission) -> str:
    """The search's command line on the cluster. `exec`: the job's process is the search, and its code the job's."""
    words = [PYTHON, "-m", "orchestrator", "search", spec_in_parcel(submission.spec), "--resume"]
    words += [word for change in submission.sets for word in ("--set", change)]
    words += ["--name", submission.name] if submission.name else []
    return f"exec {shlex.join(words)}"


def _check_same(running: RayJob, study: str, signature: str, root: str | None) -> None:
    differs = "another spec" if running.signature != signature else None
    if differs is None and running.root != root:
        differs = f"the root {running.root or 'of the cluster (AIB_ROOT)'}"
    if differs is not None:
        raise ConfigError(
            f"the job {running.id} runs a study '{study}' with {differs}; wait for it, stop it, or choose another name "
            "with --name."
        )


def _check_labels(api: JobsApi, wanted: Mapping[str, str]) -> None:
    """A job for a node that is not there would wait for ever."""
    there = [labels for _, labels in api.nodes()]
    if not any(all(labels.get(key) == value for key, value in wanted.items()) for labels in there):
        known = sorted({f"{key}={value}" for labels in there for key, value in labels.items() if "node-id" not in key})
        raise PreflightError(
            f"no node has the labels {', '.join(f'{key}={value}' for key, value in wanted.items())} of --driver-label; "
            f"labels of the nodes: {', '.join(known) or 'none'}."
        )
