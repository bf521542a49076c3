"""Chooses the slots that a pool gives up: those whose end loses least, and together they free whole nodes."""

from collections import Counter
from collections.abc import Mapping

from orchestrator.slots.messages import SlotStatus


def surplus_slots(found: Mapping[int, SlotStatus | None], count: int) -> list[int]:
    """The `count` slots to give up, by their number in the pool; `found` has the status of each, None if unknown.

    First slots without workers, then slots with idle workers, then slots in a trial. Among equals, a slot on the node
    with the fewest other slots of the pool, so that room for another study's larger worker comes free on one node.
    """
    left, chosen = dict(found), list[int]()
    for _ in range(max(0, min(count, len(left)))):
        crowd = Counter(node for status in left.values() if status is not None for node in status.nodes)
        chosen.append(min(left, key=lambda index: (_worth(left[index]), _crowd(left[index], crowd), -index)))
        left.pop(chosen[-1])
    return chosen


def _worth(status: SlotStatus | None) -> int:
    """How much is lost with a slot: 0 without workers, 1 with idle workers, 2 with workers in a trial."""
    if status is None or not status.serving:
        return 0
    return 1 if status.trial is None else 2


def _crowd(status: SlotStatus | None, crowd: Counter[str]) -> tuple[int, str]:
    """Slots on the emptiest of the slot's nodes, and that node."""
    nodes = () if status is None else status.nodes
    return min(((crowd[node], node) for node in nodes), default=(0, ""))
