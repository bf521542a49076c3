"""The checks of `aib doctor`: each says what it found, and what to do where that is not enough."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from orchestrator.errors import PreflightError
from orchestrator.provenance import provenance
from orchestrator.scrub import scrub
from orchestrator.slots.cluster import NodeResources, connect, nodes, token_path
from orchestrator.study_paths import data_root
from orchestrator.submission.jobs_api import connect_jobs
from orchestrator.tracking.mlflow_store import local_tracking_uri, prepare_store
from trainables.data.store import list_prepared
from trainables.errors import AIBError

FREE_GIB = 2.0
HTTP = ("http://", "https://")


class Check(NamedTuple):
    name: str
    ok: bool
    message: str


def diagnose(root: Path, tracking_uri: str | None, address: str | None, start_ray: bool) -> list[Check]:
    """Every check, whatever the others found."""
    checks = [
        _guarded("versions", _versions),
        _guarded("machine", _machine),
        _guarded("storage", lambda: _storage(root)),
        _guarded("data", lambda: _data(root)),
        _guarded("tracking", lambda: _tracking(root, tracking_uri)),
    ]
    if start_ray:
        if not (address or "").startswith(HTTP):
            checks.append(_guarded("ray", lambda: _ray(address)))
        if address is not None and address != "local":
            checks.append(_guarded("jobs", lambda: _jobs(address)))
    return checks


def _guarded(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except (AIBError, OSError) as error:
        return Check(name, False, scrub(str(error)))


def _versions() -> str:
    return ", ".join(f"{name} {value}" for name, value in provenance().items())


def _machine() -> str:
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} CPUs, {memory_gib:.0f} GiB of memory, " + (", ".join(gpus) or "no GPU")


def _storage(root: Path) -> str:
    """The nearest folder that exists must be writable and have room; nothing is left behind."""
    there = next(path for path in (root.resolve(), *root.resolve().parents) if path.exists())
    with tempfile.TemporaryFile(dir=there) as marker:
        marker.write(b"aib")
    free_gib = shutil.disk_usage(there).free / 2**30
    if free_gib < FREE_GIB:
        raise OSError(f"{there} has {free_gib:.1f} GiB free; make room for at least {FREE_GIB:.0f}, or choose --root.")
    return f"{there} is writable, {free_gib:.0f} GiB free"


def _data(root: Path) -> str:
    prepared = [f"{meta.name} at {meta.image_size} px" for meta in list_prepared(data_root(root))]
    return f"prepared: {', '.join(prepared)}" if prepared else "none prepared yet; cluttered-digits needs no files"


def _tracking(root: Path, uri: str | None) -> str:
    if uri is None and not (root / "mlflow.db").exists():
        return f"{local_tracking_uri(root)} will be made by the first search"
    prepare_store(uri or local_tracking_uri(root))
    return f"{scrub(uri or local_tracking_uri(root))} answers"


def _ray(address: str | None) -> str:
    with connect(address):
        found = nodes()
    return f"{_offer(found)}, dashboard on, {_token()}"


def _jobs(address: str) -> str:
    """What `aib submit` needs of a cluster, and that nobody else gets it: the Jobs API runs any command."""
    api = connect_jobs(address)
    if api.takes_strangers():
        raise PreflightError(
            f"the Jobs API at {api.url} runs commands for anybody, without a token; start the cluster with "
            "RAY_AUTH_MODE=token on every node."
        )
    found = [node for node, _ in api.nodes()]
    running = sum(not job.ended for job in api.jobs())
    return f"{api.url} takes jobs with a token only, {_offer(found)}, {running} jobs running, {_token()}"


def _offer(found: list[NodeResources]) -> str:
    cpus, gpus = sum(node.cpus for node in found), sum(node.gpus for node in found)
    return f"{len(found)} nodes, {cpus:g} CPUs, {gpus:g} GPUs"


def _token() -> str:
    return "token in RAY_AUTH_TOKEN" if os.environ.get("RAY_AUTH_TOKEN") else f"token in {token_path()}"
