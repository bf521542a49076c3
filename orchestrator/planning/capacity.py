"""Computes how many trials a cluster can run at a time.

The actors of Tune's trials and of slots take no CPU (`search.trial_actor`), so workers get all CPUs. The workers of one
slot may be on different nodes; one worker is on one node; a share of a GPU is on one GPU. An elastic slot takes as many
workers as fit, within its bounds.
"""

import math
import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

from orchestrator.errors import PreflightError
from trainables.errors import ConfigError

_ROUNDING = 1e-9  # 0.3 / 0.1 is a little below 3


class Node(NamedTuple):
    """The resources of one node."""

    node_id: str
    cpus: float
    gpus: float


class Need(NamedTuple):
    """The resources of one slot. `placement` is a preference (Ray's PACK and SPREAD) and never makes it impossible."""

    workers: int
    cpus_per_worker: float
    gpus_per_worker: float
    placement: Literal["pack", "spread"]
    most_workers: int | None = None
    """Upper bound of an elastic slot, with `workers` as its lower bound; None means exactly `workers`."""
    field: str = "resources.workers_per_trial"
    """The spec's field for the number of workers, for messages."""


class Capacity(NamedTuple):
    """The slots that a cluster holds."""

    shape: tuple[int, ...]
    """Number of workers of each slot."""
    limited_by: Literal["cpus", "gpus", "max_concurrent"]
    explanation: str

    @property
    def slots(self) -> int:
        return len(self.shape)


def imagined(cluster: str) -> list[Node]:
    """Returns the nodes that a text describes: `2x32x8` is two nodes of 32 CPUs and 8 GPUs; commas separate groups."""
    nodes: list[Node] = []
    for part in cluster.split(","):
        found = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})x(\d{1,3})", part.strip(), re.ASCII)
        if not found:
            raise ConfigError(
                f"--cluster is '{cluster}'; allowed: NODESxCPUSxGPUS, such as 2x32x8 for two nodes of 32 CPUs and 8 "
                "GPUs, or several of these with commas between them."
            )
        count, cpus, gpus = map(int, found.groups())
        nodes += [Node(f"imagined-{len(nodes) + i}", cpus, gpus) for i in range(count)]
    return nodes


def num_slots(nodes: Iterable[Node], need: Need, max_concurrent: int | None = None) -> Capacity:
    """Returns the slots that fit at the same time; raises PreflightError where not even one fits."""
    cluster = list(nodes)
    places = sum(min(_by_cpu(node, need), _by_gpu(node, need)) for node in cluster)
    shape = shares(places, need.workers, need.most_workers or need.workers)
    if not shape:
        raise PreflightError(_refusal(cluster, need, places))
    # A worker that needs a GPU cannot use the CPUs of a node without GPUs.
    usable = [node for node in cluster if _by_gpu(node, need)]
    cpu_places = sum(_by_cpu(node, need) for node in usable)
    limited_by: Literal["cpus", "gpus", "max_concurrent"] = "cpus"
    if need.gpus_per_worker and sum(_by_gpu(node, need) for node in usable) <= cpu_places:
        limited_by = "gpus"
    why = f"{_offer(cluster)} hold {places} workers of {_worker(need)}: {_count(len(shape), 'trial')} at a time"
    if max_concurrent is not None and max_concurrent < len(shape):
        shape, limited_by = shape[:max_concurrent], "max_concurrent"
        why += f", held to {max_concurrent} by max_concurrent"
    else:
        why += f", limited by {limited_by}"
    return Capacity(shape, limited_by, why + _sizes(shape, need))


def shares(places: int, least: int, most: int) -> tuple[int, ...]:
    """Returns the workers of each slot for `places` workers: slots of `most`, then one of the rest if it has `least`.

    It prefers few large slots: a trial on twice the workers ends sooner than two trials side by side.
    """
    whole, left = divmod(places, most)
    return (*[most] * whole, *([left] if left >= least else []))


def _by_cpu(node: Node, need: Need) -> int:
    return math.floor(node.cpus / need.cpus_per_worker + _ROUNDING)


def _by_gpu(node: Node, need: Need) -> int:
    share = need.gpus_per_worker
    if share == 0:
        return _by_cpu(node, need)
    if share < 1:
        return math.floor(node.gpus + _ROUNDING) * math.floor(1 / share + _ROUNDING)
    return math.floor(node.gpus / share + _ROUNDING)


def _refusal(cluster: list[Node], need: Need, places: int) -> str:
    asked = f"one trial asks for {_count(need.workers, 'worker')} of {_worker(need)}"
    if not cluster:
        return f"{asked}, but the cluster has no node; start one with `ray start --head`, or leave --address out."
    if need.gpus_per_worker and not any(node.gpus for node in cluster):
        advice = "set resources.gpus_per_worker: 0 to train on CPUs, or use a cluster with GPUs"
    elif places:
        advice = f"set {need.field} to at most {places}"
    else:
        largest = max(cluster, key=lambda node: (min(node.gpus, need.gpus_per_worker), node.cpus))
        short = [
            (field, room)
            for field, asked_for, room in (
                ("cpus_per_worker", need.cpus_per_worker, math.floor(largest.cpus)),
                ("gpus_per_worker", need.gpus_per_worker, math.floor(largest.gpus)),
            )
            if asked_for > room
        ]
        lower = " and ".join(f"resources.{field} to at most {room}" for field, room in short)
        possible = short and all(room >= 1 for _, room in short)
        advice = f"set {lower}: one worker runs on one machine" if possible else "use larger machines"
    return f"{asked}, but {_offer(cluster)} hold {places or 'none'} of them at a time; {advice}."


def _sizes(shape: tuple[int, ...], need: Need) -> str:
    if need.most_workers in (None, need.workers):
        return ""
    now = ", ".join(map(str, shape))
    return f", of {now} workers now and {need.workers} to {need.most_workers} as nodes come and go"


def _worker(need: Need) -> str:
    gpus = f" and {_count(need.gpus_per_worker, 'GPU')}" if need.gpus_per_worker else ""
    return f"{_count(need.cpus_per_worker, 'CPU')}{gpus}"


def _offer(cluster: list[Node]) -> str:
    cpus, gpus = sum(node.cpus for node in cluster), sum(node.gpus for node in cluster)
    return f"{_count(len(cluster), 'node')} with {_count(cpus, 'CPU')} and {_count(gpus, 'GPU')}"


def _count(number: float, what: str) -> str:
    return f"{number:g} {what}{'' if number == 1 else 's'}"
