"""Reads a study's status through the cluster, for machines that cannot reach the study's folder.

A short Ray job runs `aib status --json` on the cluster; its log holds the answer.
"""

import json
import secrets
import shlex
from pathlib import PurePosixPath
from typing import Any

from orchestrator.errors import EXIT_PREFLIGHT, PreflightError
from orchestrator.process.redact import redact
from orchestrator.submission.follow import follow
from orchestrator.submission.jobs_api import connect_jobs
from orchestrator.submission.ray_job import jobs_of
from orchestrator.submission.submit import PYTHON
from orchestrator.submission.upload import upload_folder

_OBJECT_START = "\n{\n"


def remote_status(study: str, address: str, root: str | None) -> dict[str, Any]:
    """The keys of `aib status --json` as the cluster reports them, and `job`: the study's newest job or None.

    If the study has a job but no folder yet, `stage` is None and the other keys are missing. The study's folder is
    that of its newest job; without a job it is `root` if that is absolute, else the cluster's AIB_ROOT.
    Raises PreflightError if the cluster knows neither a job nor a folder of the study.
    """
    api = connect_jobs(address)
    newest = next(iter(reversed(jobs_of(study, api.jobs()))), None)
    if newest is not None:
        root = newest.root
    elif root is not None and not PurePosixPath(root).is_absolute():
        root = None
    words = [PYTHON, "-m", "orchestrator", "status", study, "--json"]
    # No study can have this name; the job is deleted once it has answered.
    status_job = f"{study}~status-{secrets.token_hex(4)}"
    with upload_folder(None) as folder:
        runtime_env: dict[str, Any] = {"env_vars": {"AIB_ROOT": root} if root else {}}
        if folder is not None:
            runtime_env["working_dir"] = str(folder)
        api.submit(status_job, f"exec {shlex.join(words)}", runtime_env=runtime_env, metadata={})
    ended = follow(api, status_job, lambda line: None)
    log = api.log(status_job)
    api.delete(status_job)
    job = newest.to_json() if newest is not None else None
    if ended.exit_code == 0:
        return {**last_object(log), "job": job}
    if newest is not None and ended.exit_code == EXIT_PREFLIGHT:
        return {"study": study, "stage": None, "job": job}
    raise PreflightError(f"the cluster at {address} does not know the study '{study}': {redact(log or ended.message)}")


def last_object(log: str) -> dict[str, Any]:
    """The JSON object at the end of a log; earlier output is ignored."""
    begin = ("\n" + log).rfind(_OBJECT_START)
    found: dict[str, Any] = json.loads(log[begin:])
    return found
