"""Keeps requests to this machine away from a proxy that is meant for the world outside."""

import os
import socket
from contextlib import suppress

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_EXCEPTIONS = "no_proxy"


def reach_this_machine_directly() -> None:
    """Adds this machine's addresses to NO_PROXY, for this process and the ones it starts, where a proxy is set.

    A local Ray dashboard or MLflow server would otherwise be asked for through the proxy, which cannot reach it.
    """
    if not any(os.environ.get(name) or os.environ.get(name.upper()) for name in _PROXIES):
        return
    given = os.environ.get(_EXCEPTIONS) or os.environ.get(_EXCEPTIONS.upper()) or ""
    excepted = [host for host in map(str.strip, given.split(",")) if host]
    if "*" in excepted:
        return
    excepted += [host for host in _own_hosts() if host not in excepted]
    # Programs differ in which of the two they read, and an empty one hides the other.
    for name in (_EXCEPTIONS, _EXCEPTIONS.upper()):
        os.environ[name] = ",".join(excepted)


def _own_hosts() -> list[str]:
    hosts = ["localhost", "127.0.0.1", "::1"]
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as towards_outside:
        # Sends nothing: a datagram socket that is connected knows its own address, the one that Ray gives its node.
        towards_outside.connect(("192.0.2.1", 9))
        hosts.append(towards_outside.getsockname()[0])
    return hosts
