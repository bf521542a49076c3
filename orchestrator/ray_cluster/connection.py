"""A Ray cluster to run on: one of our own on this machine, or an existing one by its address.

Always with token authentication, and never without the dashboard: Ray Train frees the resources of a killed run
through the dashboard's State API only.
"""

import logging
import os
import secrets
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray._private.services import canonicalize_bootstrap_address
from ray._raylet import Config, GcsClient  # type: ignore[attr-defined]  # compiled
from ray.exceptions import AuthenticationError
from ray.util.state import list_nodes
from ray.util.state.exception import RayStateApiException

from orchestrator.errors import PreflightError
from orchestrator.options import check_address
from orchestrator.process.code_version import OWN_PACKAGES, checkout_root
from orchestrator.ray_cluster.process_title import hide_secrets_in_title

CONNECT_S = 10
DASHBOARD_WAIT_S = 10


class NodeResources(NamedTuple):
    """What one alive node offers."""

    node_id: str
    cpus: float
    gpus: float


class Cluster(NamedTuple):
    """Where the connected cluster is."""

    address: str
    dashboard_url: str


@contextmanager
def connect(address: str | None = None, num_cpus: int | None = None) -> Iterator[Cluster]:
    """Starts a local cluster, or joins the one at `address` (else RAY_ADDRESS); leaves, or stops it, at the end.

    Raises ConfigError for the dashboard's URL, and PreflightError where the cluster cannot be reached, asks for
    another token, or has no dashboard.
    """
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    check_address(address)
    hide_secrets_in_title()
    require_tokens()
    secure_token(create=address == "local")
    options: dict[str, Any] = {"include_dashboard": True, "dashboard_host": "127.0.0.1", "num_cpus": num_cpus}
    if address != "local":
        options = _code_to_ship()
    try:
        knock(address)
        if address != "local":
            show_token(address)
        context: Any = ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (OSError, RuntimeError, ValueError) as error:
        raise PreflightError(
            f"no Ray cluster answers at {address!r} ({error}). Start one with `ray start --head`, or leave --address "
            "and RAY_ADDRESS out for a local one; a cluster with tokens needs RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH."
        ) from error
    except Exception as error:
        # Ray gives itself 30 seconds and has no type for their end.
        if "timed out during startup" not in str(error):
            raise
        raise PreflightError(
            "Ray did not start on this machine within its 30 seconds; the machine is too busy, or out of memory. Try "
            "again when less runs beside it: nothing was begun, and a search goes on with --resume."
        ) from error
    joined = Cluster(context.address_info["gcs_address"], context.dashboard_url)
    try:
        with _state_api_at(joined):
            _check_dashboard(address, joined)
            yield joined
    finally:
        ray.shutdown()


def nodes() -> list[NodeResources]:
    """The alive nodes of the connected cluster with their CPUs and GPUs."""
    return [
        NodeResources(node["NodeID"], node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0))
        for node in ray.nodes()
        if node["Alive"]
    ]


def wanting(workers: int, resources: Mapping[str, float]) -> str:
    """What so many workers ask for, beside what nobody uses in the connected cluster, as a line."""
    free, there = ray.available_resources(), ray.cluster_resources()
    asked = " and ".join(f"{amount:g} {name}" for name, amount in resources.items())
    left = ", ".join(f"{free.get(name, 0):g} of {there.get(name, 0):g} {name}s" for name in resources)
    who = f"1 worker of {asked} waits" if workers == 1 else f"{workers} workers of {asked} each wait"
    return f"{who} for room; free in the cluster: {left}"


def token_path() -> Path:
    """The file that holds the cluster's token."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH", Path.home() / ".ray" / "auth_token"))


def token_place() -> str:
    """Where this process has its token from, for messages."""
    return "RAY_AUTH_TOKEN" if os.environ.get("RAY_AUTH_TOKEN") else str(token_path())


def secure_token(create: bool) -> None:
    """Makes the token file readable by its owner alone; writes a new one where there is none and one may be made."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return
    path = token_path()
    if path.exists():
        if path.stat().st_uid == os.getuid() and path.stat().st_mode & 0o077:
            path.chmod(0o600)
    elif create:
        path.parent.mkdir(parents=True, exist_ok=True)
        # For its owner alone from the first byte, which Ray's own writer leaves to the umask; and never there in part,
        # since another first run may read it. Of two that write one, the first one's counts.
        aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(secrets.token_hex(32))
            with suppress(FileExistsError):
                os.link(aside, path)
        finally:
            aside.unlink()


def require_tokens() -> None:
    """Turns token authentication on for this process."""
    if os.environ.get("RAY_AUTH_MODE") != "token":
        os.environ["RAY_AUTH_MODE"] = "token"
        # Ray reads the mode once, when it is imported; left alone, this process and its cluster would disagree.
        Config.initialize("")


def knock(address: str) -> None:
    """OSError at once where nothing listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()


def show_token(address: str) -> None:
    """PreflightError at once where the head does not take our token; Ray itself would ask for most of a minute, tell
    its log, and then say that nobody answers."""
    if address.startswith("ray://"):
        return
    try:
        with _silent_core():
            GcsClient(address=canonicalize_bootstrap_address(address))
    except AuthenticationError as error:
        raise PreflightError(
            f"the Ray cluster at {address!r} does not take our token, that of {token_place()}; it has to be the head "
            "node's."
        ) from error


@contextmanager
def _silent_core() -> Iterator[None]:
    """Without what Ray's core writes past Python to the process's stderr."""
    sys.stderr.flush()
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


@contextmanager
def _state_api_at(joined: Cluster) -> Iterator[None]:
    """Points Ray's State API at this cluster: left to itself it gives up where the machine runs two."""
    before = os.environ.get("RAY_ADDRESS")
    os.environ["RAY_ADDRESS"] = joined.address
    try:
        yield
    finally:
        del os.environ["RAY_ADDRESS"]
        if before is not None:
            os.environ["RAY_ADDRESS"] = before


def _check_dashboard(address: str, joined: Cluster) -> None:
    missing = None if joined.dashboard_url else "it names none"
    if missing is None:
        try:
            list_nodes(limit=1, timeout=DASHBOARD_WAIT_S)
        except RayStateApiException as error:
            missing = str(error).splitlines()[0]
    if missing is not None:
        raise PreflightError(
            f"the Ray cluster at {address!r} has no dashboard ({missing}), and without it killed trials keep their "
            "resources; install ray[default] there and start the head with "
            "`ray start --head --include-dashboard=true --dashboard-host=127.0.0.1`."
        )


def _code_to_ship() -> dict[str, Any]:
    """A checkout is sent along; an installed package is expected on the nodes too; a submitted job brings its own."""
    root = checkout_root()
    if root is None or "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        return {}
    return {
        "runtime_env": {"py_modules": [str(root / name) for name in OWN_PACKAGES], "excludes": ["**/__pycache__"]},
    }
