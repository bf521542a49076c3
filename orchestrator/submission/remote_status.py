"""A study's status from a machine that does not see its folder: asked of the cluster by a short job."""

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
from orchestrator.submission.upload import parcel

BEGIN = "\n{\n"


def status_there(study: str, address: str, root: str | None) -> dict[str, Any]:
    """The keys of `aib status --json` as the cluster sees the study, and `job`: the study's newest job, or None.

    Where a job is there but the study's folder is not yet, `stage` is None and the other keys are missing. The folder
    is the newest job's; for a study without one, `root` where that is absolute, else the cluster's AIB_ROOT.
    Raises PreflightError where the cluster knows neither.
    """
    api = connect_jobs(address)
    newest = next(iter(reversed(jobs_of(study, api.jobs()))), None)
    if newest is not None:
        root = newest.root
    elif root is not None and not PurePosixPath(root).is_absolute():
        root = None
    words = [PYTHON, "-m", "orchestrator", "status", study, "--json"]
    # A name no study's job can have; forgotten when it has answered.
    asking = f"{study}~status-{secrets.token_hex(4)}"
    with parcel(None) as folder:
        runtime_env: dict[str, Any] = {"env_vars": {"AIB_ROOT": root} if root else {}}
        if folder is not None:
            runtime_env["working_dir"] = str(folder)
        api.submit(asking, f"exec {shlex.join(words)}", runtime_env=runtime_env, metadata={})
    asked = follow(api, asking, lambda line: None)
    log = api.log(asking)
    api.forget(asking)
    job = newest.to_json() if newest is not None else None
    if asked.exit_code == 0:
        return {**last_object(log), "job": job}
    if newest is not None and asked.exit_code == EXIT_PREFLIGHT:
        return {"study": study, "stage": None, "job": job}
    raise PreflightError(f"the cluster at {address} cannot tell of a study '{study}': {redact(log or asked.message)}")


def last_object(log: str) -> dict[str, Any]:
    """The JSON object that a log ends with, whatever was written before it."""
    begin = ("\n" + log).rfind(BEGIN)
    found: dict[str, Any] = json.loads(log[begin:])
    return found
