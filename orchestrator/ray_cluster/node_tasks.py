"""Runs one function on every alive node of the connected cluster and collects the answers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

ATTEMPTS = 3
"""Attempts per node: a call that the network drops also ends the worker process that ran it."""


class NodeAnswer(NamedTuple):
    """One node's answer: the function's `value`, or the `error` that kept the function from returning one."""

    address: str
    value: Any
    error: str | None = None


def on_every_node(function: Callable[..., Any], *arguments: Any, timeout_s: float) -> list[NodeAnswer]:
    """Calls `function(*arguments)` on each alive node, on no CPU; skips nodes that are lost meanwhile."""
    asked = {}
    for node in ray.nodes():
        if node["Alive"]:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = ray.remote(function).options(num_cpus=0, max_retries=ATTEMPTS - 1, scheduling_strategy=there)
            asked[task.remote(*arguments)] = node
    answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=timeout_s)
    for ref in silent:
        ray.cancel(ref, force=True)
    found: list[tuple[Any, Any, str | None]] = [
        (asked[ref], None, f"it did not answer within {timeout_s:g} s") for ref in silent
    ]
    for ref in answered:
        try:
            found.append((asked[ref], ray.get(ref), None))
        except RayError as error:
            found.append((asked[ref], None, f"the check did not run there ({str(error).strip().splitlines()[0]})"))
    lost = {node["NodeID"] for node in ray.nodes() if not node["Alive"]}
    return [
        NodeAnswer(node["NodeManagerAddress"], value, error)
        for node, value, error in found
        if node["NodeID"] not in lost
    ]
