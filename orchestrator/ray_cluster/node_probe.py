"""Probes each node of the connected cluster from a process on that node: versions, GPUs, clock."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.planning.capacity import Node
from orchestrator.process.code_version import provenance
from orchestrator.ray_cluster.nodes import nodes

ANSWER_S = 90.0
CLOCK_READINGS = 5
OF_A_CHECKOUT = ("git_commit", "machine", "aib-orchestrator")
"""Facts that may differ: a node that received our code has neither a checkout nor the installed package."""


class NodeFacts(NamedTuple):
    """One node's answer."""

    host: str
    versions: dict[str, str]
    gpus: int
    """GPUs that torch sees, whatever Ray is configured to."""


class Skew(NamedTuple):
    """How far a node's clock is ahead of ours, and the uncertainty: half the fastest round trip."""

    ahead_s: float
    unsure_s: float


class _Probe:
    """The actor; it takes no CPU, so that it fits on a busy node too."""

    def facts(self) -> NodeFacts:
        # Ray hides the GPUs from an actor that requests none.
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        import torch

        return NodeFacts(socket.gethostname(), versions(), torch.cuda.device_count())

    def clock_s(self) -> float:
        return time.time()


class ProbedNode:
    """A node with a probe on it."""

    def __init__(self, resources: Node, probe: Any) -> None:
        self.resources, self._probe = resources, probe

    def facts(self) -> NodeFacts:
        """Raises OSError if the node does not answer."""
        found: NodeFacts = self._ask(self._probe.facts.remote())
        return found

    def skew(self) -> Skew:
        found = []
        for _ in range(CLOCK_READINGS):
            here_s, began_s = time.time(), time.monotonic()
            there_s = self._ask(self._probe.clock_s.remote())
            half_s = (time.monotonic() - began_s) / 2
            found.append(Skew(there_s - (here_s + half_s), half_s))
        return min(found, key=lambda skew: skew.unsure_s)

    def _ask(self, answer: Any) -> Any:
        try:
            return ray.get(answer, timeout=ANSWER_S)
        except RayError as error:
            raise OSError(f"node {self.resources.node_id[:8]} does not answer ({type(error).__name__})") from error


@contextmanager
def probed_nodes() -> Iterator[list[ProbedNode]]:
    """A probe on every alive node, for the time of the block."""
    probes = []
    try:
        for node in nodes():
            only_there = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
            probe = ray.remote(_Probe).options(num_cpus=0, scheduling_strategy=only_there).remote()
            probes.append(ProbedNode(node, probe))
        yield probes
    finally:
        for probed in probes:
            ray.kill(probed._probe)


def versions() -> dict[str, str]:
    """The versions of Python and of the packages on which results depend."""
    return {name: value for name, value in provenance().items() if name not in OF_A_CHECKOUT}
