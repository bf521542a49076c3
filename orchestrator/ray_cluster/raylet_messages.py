"""Logs the messages that Ray's raylets send to every driver; Ray itself prints them to stdout."""

import logging
from typing import Any

from ray._private import worker

TOO_MANY_WORKERS = "worker processes have been started on node"
"""A warning of Ray. Slots and trials need an actor each, so users cannot change their number."""
NODE_DIED = ("has been marked dead", "Raylet is terminated")

logger = logging.getLogger(__name__)


def log_raylet_messages(of_a_local_cluster: bool) -> None:
    """Call it before the process connects. The loss of a local cluster's only node has a sentence of its own."""
    unwanted = (TOO_MANY_WORKERS, *NODE_DIED) if of_a_local_cluster else (TOO_MANY_WORKERS,)

    def log(data: dict[str, Any], ignore_prefix: bool) -> None:
        for message in data["lines"]:
            if message.strip() and not any(part in message for part in unwanted):
                logger.warning("Ray: %s", " ".join(message.split()))

    replaced: Any = worker
    replaced.print_to_stdstream = log
