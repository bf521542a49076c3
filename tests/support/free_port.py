"""Ports of the loopback for the servers that tests start."""

import socket


def free_port() -> int:
    """One that nothing listens on."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different ones that nothing listens on."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports
