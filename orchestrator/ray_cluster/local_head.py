"""The process that runs a local Ray cluster on loopback, and ends it together with the driver.

`local_cluster` starts this file as a script, in a session of its own, so that signals to the driver's process group
reach no process of Ray. The script reads its settings from its argument, and writes one JSON object per line to stdout:
`address` and `session` once the cluster runs, `failed` if it does not start, `lost` when a process that the cluster
needs has died. At the end of its stdin, which is the driver's end, it kills every process of the cluster and exits.
"""

import ctypes
import fcntl
import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Any

import psutil

LOOPBACK = "127.0.0.1"
LOOK_S = 0.2
KILL_S = 5.0
NEEDED = {"gcs_server": "GCS", "raylet": "raylet", "dashboard": "dashboard"}
AGENTS = {
    "dashboard agent": ("dashboard/agent.py", "ray::DashboardAgent"),
    "runtime environment agent": ("runtime_env/agent/main.py", "ray::RuntimeEnvAgent"),
}
"""Parts of their command lines, before and after they have given themselves a title."""
PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    settings = json.loads(sys.argv[1])
    # Copies that no child inherits: a child that kept the pipe to the driver open would hide our own end.
    orders, events = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):
        os.dup2(nowhere, stream)
    _adopt_orphans()
    # The driver decides when the cluster ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: _end(0))
    threading.Thread(target=_end_with_driver, args=(orders,), daemon=True).start()
    try:
        node = _start(settings)
        # `ray_folder` removes the folders of clusters that have ended; this lock says that ours has not.
        fcntl.flock(os.open(node.get_session_dir_path(), os.O_RDONLY), fcntl.LOCK_SH)
    except Exception as error:
        _tell(events, failed=str(error).strip() or type(error).__name__)
        _end(1)
    _tell(events, address=node.gcs_address, session=node.get_session_dir_path())
    _tell(events, lost=_first_dead(node))
    threading.Event().wait()


def _start(settings: dict[str, Any]) -> Any:
    """Ray's head node with the settings that `ray.init` uses for a local cluster, but on loopback."""
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    _raise_file_limit()
    return Node(
        RayParams(
            node_ip_address=LOOPBACK,
            num_cpus=settings["num_cpus"],
            include_dashboard=True,
            dashboard_host=LOOPBACK,
            # None: the first free port from 8265 on.
            dashboard_port=None,
            dashboard_agent_listen_port=0,
            # It sends the workers' output to drivers; ours does not print it.
            include_log_monitor=False,  # type: ignore[arg-type]  # Ray's hint is wrong
            temp_dir=settings["temp_dir"],
        ),
        head=True,
        shutdown_at_exit=False,
        spawn_reaper=True,
        ray_init_cluster=True,
    )


def _first_dead(node: Any) -> str:
    """Waits until a process that the cluster needs has died, and returns its name."""
    started = {name: node.all_processes[kind][0].process for kind, name in NEEDED.items()}
    agents: dict[str, psutil.Process] = {}
    with suppress(psutil.Error):
        for child in psutil.Process(started["raylet"].pid).children():
            command = " ".join(child.cmdline())
            agents |= {name: child for name, parts in AGENTS.items() if any(part in command for part in parts)}
    while True:
        # Agents first: the raylet ends itself after it has lost one.
        for name, agent in agents.items():
            if not _runs(agent):
                return name
        for name, process in started.items():
            if process.poll() is not None:
                return name
        time.sleep(LOOK_S)


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _end_with_driver(orders: int) -> None:
    with suppress(OSError):
        while os.read(orders, 4096):
            pass
    _end(0)


def _end(code: int) -> None:
    """Kills every process of the cluster, also those that start meanwhile, and exits."""
    deadline_s = time.monotonic() + KILL_S
    while (left := [child for child in psutil.Process().children(recursive=True) if _runs(child)]) and (
        time.monotonic() < deadline_s
    ):
        for child in left:
            with suppress(psutil.Error):
                child.kill()
        psutil.wait_procs(left, timeout=0.2)
    os._exit(code)


def _adopt_orphans() -> None:
    """Makes this process the parent of its orphaned descendants, so that `_end` finds them all."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _raise_file_limit() -> None:
    """Ray opens many files; `ray.init` raises the limit in the same way."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard))


def _tell(events: int, **event: str) -> None:
    with suppress(OSError):
        os.write(events, (json.dumps(event) + "\n").encode())


if __name__ == "__main__":
    main()
