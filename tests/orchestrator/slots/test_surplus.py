"""Which slots a pool gives up, by their status alone."""

from typing import Any

import pytest

from orchestrator.slots.messages import SlotStatus
from orchestrator.slots.surplus import surplus_slots


def slot(trial: str | None = "t", *nodes: str, **fields: Any) -> SlotStatus:
    return SlotStatus(
        **{"state": "leased", "epoch": 1, "failure": "", "serving": True, **fields}, trial=trial, nodes=nodes
    )


BUSY, IDLE, STARTING = slot("t", "a"), slot(None, "a"), slot(None, serving=False)


@pytest.mark.parametrize(
    ("found", "count", "chosen"),
    [
        ([BUSY, IDLE, STARTING, None], 1, [3]),
        ([BUSY, IDLE, STARTING, None], 3, [3, 2, 1]),
        ([BUSY, BUSY, BUSY], 1, [2]),
        ([BUSY], 5, [0]),
        # Half of the slots of two nodes: all of one node, not some of each.
        ([slot("t", node) for node in "abababab"], 4, [6, 4, 2, 0]),
        ([slot("t", node) for node in "aababbb"], 3, [3, 1, 0]),
        # A slot over both nodes frees the emptier one with the others.
        ([slot("t", "a", "b"), slot("t", "b"), slot("t", "b")], 1, [0]),
    ],
)
def test_the_cheapest_go_first_and_free_whole_nodes(
    found: list[SlotStatus | None], count: int, chosen: list[int]
) -> None:
    assert surplus_slots(dict(enumerate(found)), count) == chosen
