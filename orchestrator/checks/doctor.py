"""The checks of `aib doctor`: each reports what it found, or what to do."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from orchestrator.checks.doctor_cluster import cluster_checks, jobs_api
from orchestrator.errors import PreflightError, first_line
from orchestrator.options import is_dashboard
from orchestrator.planning.check import Check
from orchestrator.process.code_version import provenance
from orchestrator.process.machine import usable_cpus
from orchestrator.process.redact import redact
from orchestrator.ray_cluster.connection import connect
from orchestrator.ray_cluster.node_probe import probed_nodes
from orchestrator.study.paths import data_root
from orchestrator.tracking.mlflow.store import is_made, prepare_store, tracking_uri_or_local
from trainables.data.arrow_store import list_prepared
from trainables.errors import AIBError

FREE_GIB = 2.0


def diagnose(root: Path, tracking_uri: str | None, address: str | None, start_ray: bool) -> list[Check]:
    """Makes every check, even if others fail."""
    checks = [
        _guarded("versions", _versions),
        _guarded("machine", _machine),
        _guarded("storage", lambda: _storage(root)),
        _guarded("data", lambda: _data(root)),
        _guarded("tracking", lambda: _tracking(root, tracking_uri)),
    ]
    if start_ray:
        if is_dashboard(address):
            # From outside the cluster only the Jobs API can be reached.
            checks.append(_guarded("jobs", lambda: jobs_api(str(address))))
        else:
            checks += _cluster(root, address)
    return checks


def _guarded(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except Exception as error:
        return _failed(name, error)


def _failed(name: str, error: Exception) -> Check:
    """Returns a failed check, also for an unexpected error, so that the other checks still run."""
    foreseen = isinstance(error, (AIBError, OSError))
    return Check(name, False, redact(str(error) if foreseen else f"{type(error).__name__}: {first_line(error)}"))


def _versions() -> str:
    return ", ".join(f"{name} {value}" for name, value in provenance().items())


def _machine() -> str:
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{usable_cpus()} CPUs, {memory_gib:.0f} GiB of memory, " + (", ".join(gpus) or "no GPU")


def _storage(root: Path) -> str:
    """Checks that the nearest existing folder is writable and has free space; leaves no file."""
    there = next(path for path in (root.resolve(), *root.resolve().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there) as marker:
            marker.write(b"aib")
    except OSError as error:
        raise PreflightError(
            f"{there} cannot be written ({error.strerror}); give this user the right to write there, or choose another "
            "--root (or AIB_ROOT)."
        ) from None
    free_gib = shutil.disk_usage(there).free / 2**30
    if free_gib < FREE_GIB:
        raise PreflightError(
            f"{there} has {free_gib:.1f} GiB free; make room for at least {FREE_GIB:.0f}, or choose another --root."
        )
    return f"{there} is writable, {free_gib:.0f} GiB free"


def _data(root: Path) -> str:
    prepared = [f"{meta.name} at {meta.image_size} px" for meta in list_prepared(data_root(root))]
    return f"prepared: {', '.join(prepared)}" if prepared else "none prepared yet; cluttered-digits needs no files"


def _tracking(root: Path, uri: str | None) -> str:
    uri = tracking_uri_or_local(root, uri)
    if not is_made(uri):
        return f"{redact(uri)} will be made by the first search"
    prepare_store(uri)
    return f"{redact(uri)} answers"


def _cluster(root: Path, address: str | None) -> list[Check]:
    """Makes the checks inside the cluster, or one failed check where the cluster cannot be joined."""
    checks = []
    try:
        with connect(address) as cluster, probed_nodes() as probed:
            for name, check in cluster_checks(cluster, probed, root):
                checks.append(_guarded(name, check))
    except Exception as error:
        checks.append(_failed("ray", error))
    return checks
