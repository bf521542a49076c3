"""Connects to a Ray cluster: starts a local one, or joins an existing one by its address.

A local cluster listens on loopback only, and its files lie in a private folder.

Token authentication is always on, and the dashboard is required: Ray Train frees the resources of a killed run only
through the dashboard's State API.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import ray
from ray._private import utils as ray_utils
from ray.exceptions import RpcError
from ray.util.state import list_nodes
from ray.util.state.exception import RayStateApiException

from orchestrator.errors import PreflightError
from orchestrator.options import check_address
from orchestrator.process.code_version import OWN_PACKAGES, checkout_root
from orchestrator.process.signals import own_handlers
from orchestrator.ray_cluster.heads import chosen_head, probe_port
from orchestrator.ray_cluster.local_cluster import local_cluster
from orchestrator.ray_cluster.loss import Loss, end_after_loss, watched
from orchestrator.ray_cluster.neutral_folder import neutral_folder
from orchestrator.ray_cluster.process_title import hide_secrets_in_title
from orchestrator.ray_cluster.raylet_messages import log_raylet_messages
from orchestrator.ray_cluster.tokens import check_token, require_tokens, secure_token

DASHBOARD_WAIT_S = 10
DASHBOARD_PORT = 8265


class Cluster(NamedTuple):
    """The addresses of the connected cluster."""

    address: str
    dashboard_url: str
    local: bool = False
    """Whether this process started it, for itself."""


@contextmanager
def connect(
    address: str | None = None,
    num_cpus: int | None = None,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    lost: Callable[[str], None] = end_after_loss,
) -> Iterator[Cluster]:
    """Joins the cluster at `address`, or else at RAY_ADDRESS; starts a local cluster if neither is set.

    At the end it leaves the cluster, or ends a local one. If a process dies without which the cluster cannot go on, it
    calls `lost` with a sentence that names it, from another thread. Raises ConfigError if the address is the
    dashboard's URL, PreflightError if the cluster cannot be reached, rejects the token, or has no dashboard, and
    StartCancelledError as soon as `cancelled()` while a local cluster starts.
    """
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    check_address(address)
    hide_secrets_in_title()
    log_raylet_messages(of_a_local_cluster=address == "local")
    require_tokens()
    secure_token(create=address == "local")
    loss = Loss(lost)
    with ExitStack() as stack:
        if address == "local":
            there = stack.enter_context(local_cluster(num_cpus, cancelled, loss.declare))
            stack.callback(ray.shutdown)
            joined = _reach(there, own=True)._replace(local=True)
        else:
            there = chosen_head(address)
            stack.callback(ray.shutdown)
            joined = _reach(there, own=False)
            stack.enter_context(watched(joined.address, loss.declare))
        stack.enter_context(_state_api_at(joined))
        _check_dashboard(there, joined)
        with loss.explains_errors():
            yield joined


def _reach(address: str, own: bool) -> Cluster:
    try:
        if own:
            return _init(address, {})
        probe_port(address)
        check_token(address)
        return _init(address, _code_to_ship())
    except (OSError, RuntimeError, ValueError, RpcError) as error:
        raise PreflightError(
            f"no Ray cluster answers at {address!r} ({error}). Start one with `ray start --head`, or use a local one "
            "without --address and RAY_ADDRESS; a cluster with tokens needs RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH."
        ) from error


def _init(address: str, options: dict[str, Any]) -> Cluster:
    rays: Any = ray_utils
    set_handler = rays.set_sigterm_handler
    # Ray would install a handler that ends the process at once, without our exit code.
    rays.set_sigterm_handler = lambda handler: None
    try:
        with own_handlers(), neutral_folder():
            context: Any = ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    finally:
        rays.set_sigterm_handler = set_handler
    return Cluster(context.address_info["gcs_address"], context.dashboard_url)


@contextmanager
def _state_api_at(joined: Cluster) -> Iterator[None]:
    """Points Ray's State API at this cluster; by itself it fails on a machine that runs two clusters."""
    before = os.environ.get("RAY_ADDRESS")
    os.environ["RAY_ADDRESS"] = joined.address
    try:
        yield
    finally:
        del os.environ["RAY_ADDRESS"]
        if before is not None:
            os.environ["RAY_ADDRESS"] = before


def _check_dashboard(address: str, joined: Cluster) -> None:
    missing = None if joined.dashboard_url else "it reports no URL"
    if missing is None:
        try:
            list_nodes(limit=1, timeout=DASHBOARD_WAIT_S)
        except RayStateApiException as error:
            missing = str(error).splitlines()[0]
    if missing is not None:
        raise PreflightError(
            f"the Ray cluster at {address!r} has no dashboard ({missing}), and without one killed trials keep their "
            f"resources. {_usual_port()}Start the head node with `ray start --head --include-dashboard=true "
            "--dashboard-host=127.0.0.1 --dashboard-port=PORT` and a free PORT; where ray[default] is missing, install "
            "it first."
        )


def _usual_port() -> str:
    """A sentence if another program listens at Ray's usual port; without a dashboard, this cluster does not."""
    try:
        probe_port(f"127.0.0.1:{DASHBOARD_PORT}")
    except OSError:
        return ""
    return f"Another program has port {DASHBOARD_PORT} of this machine, where Ray starts it by default. "


def _code_to_ship() -> dict[str, Any]:
    """Options that send this checkout to the nodes; none for an installed package, which the nodes need to have too.

    A submitted Ray job brings its own code.
    """
    root = checkout_root()
    if root is None or "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        return {}
    return {
        "runtime_env": {"py_modules": [str(root / name) for name in OWN_PACKAGES], "excludes": ["**/__pycache__"]},
    }
