"""The alive nodes of the connected cluster, and what is free on them."""

from collections.abc import Mapping

import ray

from orchestrator.planning.capacity import Node


def nodes() -> list[Node]:
    """Every alive node with its CPUs and GPUs."""
    return [
        Node(node["NodeID"], node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0))
        for node in ray.nodes()
        if node["Alive"]
    ]


def waiting_message(workers: int, resources: Mapping[str, float]) -> str:
    """One line: the resources that `workers` workers wait for, beside what is free in the connected cluster."""
    free, there = ray.available_resources(), ray.cluster_resources()
    asked = " and ".join(f"{amount:g} {name}" for name, amount in resources.items())
    left = ", ".join(f"{free.get(name, 0):g} of {there.get(name, 0):g} {name}s" for name in resources)
    who = f"1 worker of {asked} waits" if workers == 1 else f"{workers} workers of {asked} each wait"
    return f"{who} for room; free in the cluster: {left}"
