"""Divides a cluster between the studies that run on it: how many workers each study may hold now. A pure decision.

Every study computes the same division from the same demands, and nobody takes a worker from another study: a study that
holds more than its part gives slots back between its trials.

1. Each study gets its smallest slot, in order of priority and arrival. A study that has waited for `TURN_S` without any
   slot comes before that, so that where there are more studies than room they take turns. First of all comes a study
   that is about to end: it keeps the slot that its gate needs.
2. The rest goes to studies of the highest priority that want more, one step at a time: the next step goes to the study
   with the smallest part of the cluster for its weight (dominant resource fairness, Ghodsi et al., NSDI 2011).
3. Room that no study wants goes to studies that would keep idle workers warm.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from orchestrator.planning.capacity import Node

TURN_S = 600.0
"""Time without a slot after which a study comes before all others, whatever their priority."""
_ROUNDING = 1e-9


class StudyDemand(NamedTuple):
    """What one study can use."""

    study: str
    """Unique among the demands."""
    cpus_per_worker: float
    gpus_per_worker: float
    least: int
    """Workers of its smallest slot."""
    step: int
    """Workers by which it grows."""
    wanted: int
    """Workers that have work now: none, or `least` or more."""
    useful: int
    """Workers that it would keep where no study wants the room, `wanted` or more."""
    priority: int = 0
    share: float = 1.0
    since_s: float = 0.0
    """When it arrived."""
    waited_s: float = 0.0
    """How long it has had no slot; 0 while it has one."""
    keeps: bool = False
    """Whether it has a slot that it must not lose, for its last trial and its gate."""


def divide(nodes: Iterable[Node], demands: Sequence[StudyDemand]) -> dict[str, int]:
    """Returns the workers that each study may hold; all of them fit into the nodes at the same time.

    Each number is 0 or between the study's `least` and `useful`. A study that wants any has 0 only where not every
    study can have a slot at the same time.
    """
    room = _Room(nodes)
    parts = dict.fromkeys((demand.study for demand in demands), 0)
    num_waiting = sum(demand.waited_s > 0 for demand in demands)
    for demand in sorted((demand for demand in demands if demand.wanted), key=_turn):
        reservations = _reservations(demand) if num_waiting == 1 else (demand.least,)
        if any(room.place(demand, workers) for workers in reservations):
            parts[demand.study] = demand.least
    for limit in (_wanted, _useful):
        for priority in sorted({demand.priority for demand in demands}, reverse=True):
            _fill(room, [demand for demand in demands if demand.priority == priority], parts, limit)
    return parts


def _wanted(demand: StudyDemand) -> int:
    return demand.wanted


def _useful(demand: StudyDemand) -> int:
    return demand.useful


def _turn(demand: StudyDemand) -> tuple[bool, float, int, float, str]:
    overdue_s = demand.waited_s if demand.waited_s >= TURN_S else 0.0
    return (not demand.keeps, -overdue_s, -demand.priority, demand.since_s, demand.study)


def _reservations(demand: StudyDemand) -> Iterator[int]:
    """Yields the workers to make room for, most first: one slot, and one more for each further turn without a slot.

    For the only study that waits: its room may be there, but in pieces on several nodes, or other programs may hold it.
    The more room the other studies give back, the sooner one piece is large enough.
    """
    for turns in range(max(1, int(demand.waited_s / TURN_S)), 0, -1):
        yield demand.least * turns


def _fill(
    room: "_Room", demands: Iterable[StudyDemand], parts: dict[str, int], limit: Callable[[StudyDemand], int]
) -> None:
    """Adds steps up to each study's limit while they fit; each goes to the study with the smallest weighted part."""
    growing = [demand for demand in demands if 0 < parts[demand.study] < limit(demand)]
    while growing:
        poorest = min(growing, key=lambda one: (room.part(one, parts[one.study]) / one.share, one.since_s, one.study))
        more = min(poorest.step, limit(poorest) - parts[poorest.study])
        fits = room.place(poorest, more)
        parts[poorest.study] += more if fits else 0
        if not fits or parts[poorest.study] >= limit(poorest):
            growing.remove(poorest)


class _FreeNode(NamedTuple):
    """What is left of one node."""

    cpus: float
    gpus: tuple[float, ...]
    """The free part of each GPU; a share of a GPU is on one GPU."""

    def less(self, cpus: float, gpus: float) -> "_FreeNode | None":
        """Returns the node after one more worker; None where the worker does not fit."""
        if self.cpus < cpus - _ROUNDING:
            return None
        left = sorted(self.gpus)
        if 0 < gpus < 1:
            used = next((i for i, free in enumerate(left) if free >= gpus - _ROUNDING), None)
            if used is None:
                return None
            left[used] -= gpus
        elif gpus >= 1:
            if sum(free >= 1 - _ROUNDING for free in left) < gpus - _ROUNDING:
                return None
            left = left[: len(left) - round(gpus)]
        return _FreeNode(self.cpus - cpus, tuple(left))


class _Room:
    """The room that is left in a cluster."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._nodes = [_FreeNode(node.cpus, (1.0,) * int(node.gpus + _ROUNDING)) for node in nodes]
        self._cpus = sum(node.cpus for node in self._nodes)
        self._gpus = sum(len(node.gpus) for node in self._nodes)

    def part(self, demand: StudyDemand, workers: int) -> float:
        """Returns the part of the whole cluster that the workers take, by the resource they take most of."""
        cpus = demand.cpus_per_worker / self._cpus if self._cpus else 0.0
        gpus = demand.gpus_per_worker / self._gpus if self._gpus else 0.0
        return workers * max(cpus, gpus)

    def place(self, demand: StudyDemand, workers: int) -> bool:
        """Takes the room of all these workers, or of none; returns whether they fit.

        A worker goes to the fullest node that takes it, and one without a GPU to a node with few GPUs, so that large
        pieces stay whole.
        """
        before = list(self._nodes)
        for _ in range(workers):
            options = [
                (len(node.gpus), node.cpus, i)
                for i, node in enumerate(self._nodes)
                if node.less(demand.cpus_per_worker, demand.gpus_per_worker) is not None
            ]
            if not options:
                self._nodes = before
                return False
            chosen = min(options)[-1]
            after = self._nodes[chosen].less(demand.cpus_per_worker, demand.gpus_per_worker)
            assert after is not None
            self._nodes[chosen] = after
        return True
