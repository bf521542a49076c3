"""Submits a search to a cluster as a Ray job; each study has at most one running job."""

import json
import os
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from rich.console import Console

from orchestrator.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, PreflightError
from orchestrator.planning.signature import spec_signature
from orchestrator.planning.trials import check_trials
from orchestrator.process.owner import OWNER, owner
from orchestrator.process.redact import redact
from orchestrator.process.start_clock import SUBMITTED_AT
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
from orchestrator.submission.upload import spec_in_upload, upload_folder
from orchestrator.tracking.mlflow.store import check_tracking_uri
from search_spaces.schema import load_spec
from trainables.checkpoints.bucket import Bucket
from trainables.errors import ConfigError

PYTHON = "python"
LABELS_WAIT_S = 20.0
"""Time for the first node of a new head to appear."""
ATTEMPTS = 5


@dataclass(frozen=True, kw_only=True)
class Submission:
    """The search to run, and its options on the cluster."""

    spec: Path
    sets: tuple[str, ...] = ()
    name: str | None = None
    root: str | None = None
    """A folder that every node of the cluster can reach; None for the cluster's AIB_ROOT."""
    tracking_uri: str | None = None
    storage: str | None = None
    copy_data: bool | None = None
    send_credentials: bool = False
    """Whether to send our MLflow and S3 credentials, which Ray then logs; else the cluster's own are used."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of the node for the driver; without labels it runs on the head."""

    def environment(self, local: Mapping[str, str]) -> JobEnvironment:
        """The job's environment; `local` is the submitter's."""
        options = {
            "AIB_ROOT": self.root,
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "AIB_STORAGE": self.storage,
            OWNER: owner(),
            "AIB_COPY_DATA": None if self.copy_data is None else str(int(self.copy_data)),
        }
        return job_environment(local, options, self.send_credentials)


def submit_search(
    submission: Submission, address: str, *, wait: bool, console: Console, write: Callable[[str], None]
) -> tuple[RayJob, int]:
    """Starts the search as a job, or joins the study's running job. Returns the job and the exit code.

    Checks the spec before it connects to the cluster, and the cluster before it uploads anything.
    """
    overrides = [*submission.sets, *([f"name={json.dumps(submission.name)}"] if submission.name is not None else [])]
    spec = load_spec(submission.spec, overrides)
    # Whether the study is new, only the cluster knows.
    check_trials(spec, resumed=True)
    root = _checked_root(submission.root)
    if submission.tracking_uri:
        check_tracking_uri(submission.tracking_uri)
    if submission.storage:
        Bucket.from_uri(submission.storage)
    api = connect_jobs(address)
    if submission.labels:
        _check_labels(api, submission.labels)
    environment = submission.environment(os.environ)
    variables = {**environment.variables, SUBMITTED_AT: f"{time.time():.3f}"}
    job, is_new = _start_or_join(api, submission, variables, spec.name, spec_signature(spec), root)
    commands = f"stop: ray job stop --address {api.url} {job.id}    look: aib status {spec.name} --address {address}"
    console.print(f"job {job.id} {'was submitted' if is_new else 'is already running'}; {commands}", markup=False)
    if is_new and environment.withheld:
        console.print(
            f"the credentials in {', '.join(environment.withheld)} are not sent; the job uses those of the cluster. "
            "--send-credentials sends them, but Ray then writes them to its logs",
            markup=False,
        )
    if not wait:
        return job, EXIT_DONE
    try:
        ended = follow(api, job.id, write)
    except KeyboardInterrupt:
        console.print(f"the job keeps running; to follow it again, repeat the command; {commands}", markup=False)
        return job, EXIT_INTERRUPTED
    except JobsUnreachableError as error:
        console.print(
            f"{redact(str(error))}\nthe job may still run; to follow it again, repeat the command", markup=False
        )
        return job, EXIT_FAILED
    if ended.exit_code is None and ended.status != "SUCCEEDED":
        console.print(f"job {ended.id} {ended.status.lower()}: {redact(ended.message)}", markup=False)
    if ended.exit_code in NO_PROGRAM:
        console.print(f"there is no `{PYTHON}` on the PATH of the cluster's head node", markup=False)
    code = exit_code_of(ended)
    if code != EXIT_DONE:
        console.print(f"job {ended.id} ended with exit code {code}", markup=False)
    return ended, code


def _checked_root(root: str | None) -> str | None:
    if root is not None and not PurePosixPath(root).is_absolute():
        raise ConfigError(
            f"--root (or AIB_ROOT) is the relative path {root!r}, but a job runs in its own folder, which is "
            "deleted afterwards; give the absolute path of a folder that every node of the cluster can reach, or leave "
            "--root out if the cluster sets AIB_ROOT."
        )
    return root


def _start_or_join(
    api: JobsApi, submission: Submission, variables: dict[str, str], study: str, signature: str, root: str | None
) -> tuple[RayJob, bool]:
    """The job, and whether this call started it."""
    metadata = {STUDY: study, SIGNATURE: signature, ROOT: root or ""}
    for _ in range(ATTEMPTS):
        jobs = api.jobs()
        running = next((job for job in reversed(jobs_of(study, jobs)) if not job.ended), None)
        if running is not None:
            _check_same(running, study, signature, root)
            return running, False
        job_id = free_id(study, jobs)
        with upload_folder(submission.spec) as folder:
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
    raise PreflightError(f"other submitters took {ATTEMPTS} job ids of '{study}' first; try again.")


def entrypoint(submission: Submission) -> str:
    """The job's shell command. `exec` makes the search the job's process, so its exit code is the job's."""
    words = [PYTHON, "-m", "orchestrator", "search", spec_in_upload(submission.spec), "--resume"]
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
    """Raises PreflightError if no node has the labels: the job would wait forever."""
    deadline_s = time.monotonic() + LABELS_WAIT_S
    while not any(present := [labels for _, labels in api.nodes()]) and time.monotonic() < deadline_s:
        # The Jobs API of a new head answers before its node is registered.
        time.sleep(1)
    if not any(all(labels.get(key) == value for key, value in wanted.items()) for labels in present):
        known = sorted(
            {f"{key}={value}" for labels in present for key, value in labels.items() if "node-id" not in key}
        )
        raise PreflightError(
            f"no node has the labels {', '.join(f'{key}={value}' for key, value in wanted.items())} of --driver-label; "
            f"the nodes have: {', '.join(known) or 'none'}."
        )
