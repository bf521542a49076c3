"""Finds the Ray heads of this machine, chooses the one that `--address auto` means, and asks whether one answers."""

import logging
import os
import socket

import psutil
from ray._private import services

from orchestrator.errors import PreflightError
from orchestrator.ray_cluster.ray_folder import FOLDER_PREFIX

CONNECT_S = 10

logger = logging.getLogger(__name__)


def chosen_head(address: str) -> str:
    """The address to join: `address` itself, or for `auto` the head that was last started here.

    With several heads it names the others in a warning. Raises PreflightError if `auto` finds none, or several and no
    sign of which one was meant.
    """
    if address != "auto":
        return address
    if (given := os.environ.get("RAY_ADDRESS", "auto")) != "auto":
        return given
    found, last = heads_of_this_machine(), services.find_bootstrap_address(None)
    if not found:
        raise PreflightError(
            "no Ray cluster runs on this machine, and --address is 'auto'. Start one with `ray start --head`, name one "
            "elsewhere with --address HOST:6379, or leave --address out for a local one."
        )
    if len(found) > 1 and last not in found:
        raise PreflightError(
            f"--address is 'auto', and this machine runs nodes of several Ray clusters; name one: "
            f"{' or '.join(f'--address {head}' for head in found)}"
        )
    chosen = last if last in found else found[0]
    assert chosen is not None
    if len(found) > 1:
        others = " or ".join(f"--address {head}" for head in found if head != chosen)
        logger.warning("--address auto: using the Ray head at %s, which was started last; another: %s", chosen, others)
    return chosen


def heads_of_this_machine() -> list[str]:
    """The heads' addresses, HOST:PORT, in order; without the local clusters of searches, which end with them."""
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or []).split()
        if command and os.path.basename(command[0]) == "raylet" and f"/{FOLDER_PREFIX}" not in " ".join(command):
            found |= {part.partition("=")[2] for part in command if part.startswith("--gcs-address=")}
    return sorted(found)


def probe_port(address: str) -> None:
    """Raises OSError at once if nothing listens at HOST:PORT; Ray itself would retry for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()


def as_given(address: str) -> str:
    """The address of a cluster on loopback in a spelling that Ray's commands keep.

    They replace 127.0.0.1 and localhost by the machine's network address. Host names are the same in capitals, and Ray
    does not know that.
    """
    return address.replace("127.0.0.1:", "LOCALHOST:")
