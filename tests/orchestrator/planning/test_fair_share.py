"""The division of a cluster: tables of known cases, and properties over random ones."""

import random
from typing import Any

import pytest

from orchestrator.planning.capacity import Need, Node, imagined, num_slots, shares
from orchestrator.planning.fair_share import TURN_S, StudyDemand, divide

FULL = 1000


def demand(study: str, wanted: int = FULL, **fields: Any) -> StudyDemand:
    known = {"cpus_per_worker": 1, "gpus_per_worker": 0, "least": 1, "step": 1, "useful": wanted}
    return StudyDemand(study, **{**known, "wanted": wanted, "since_s": float(ord(study[0])), **fields})


@pytest.mark.parametrize(
    ("cluster", "demands", "parts"),
    [
        ("1x8x0", [demand("a")], {"a": 8}),
        ("1x8x0", [demand("a"), demand("b")], {"a": 4, "b": 4}),
        ("1x8x0", [demand("a"), demand("b", 1)], {"a": 7, "b": 1}),
        ("1x8x0", [demand("a"), demand("b", share=3.0)], {"a": 2, "b": 6}),
        ("1x8x0", [demand("a"), demand("b", priority=1)], {"a": 1, "b": 7}),
        ("1x8x0", [demand("a"), demand("b", 2, priority=1)], {"a": 6, "b": 2}),
        ("1x8x0", [demand("a", 2, useful=6), demand("b", 5)], {"a": 3, "b": 5}),
        ("1x8x0", [demand("a", 2, useful=6), demand("b")], {"a": 2, "b": 6}),
        ("1x3x0", [demand("a"), demand("b")], {"a": 2, "b": 1}),
        ("1x2x0", [demand("a"), demand("b"), demand("c")], {"a": 1, "b": 1, "c": 0}),
        ("1x2x0", [demand("a"), demand("b"), demand("c", priority=1)], {"a": 1, "b": 0, "c": 1}),
        ("1x2x0", [demand("a"), demand("b"), demand("c", waited_s=TURN_S)], {"a": 1, "b": 0, "c": 1}),
        ("1x2x0", [demand("a", priority=9), demand("b", priority=9), demand("c", waited_s=TURN_S)], {"c": 1}),
        # The last slot of a study that is about to end is no other study's turn.
        ("1x1x0", [demand("a", 1, keeps=True), demand("b", priority=9, waited_s=TURN_S)], {"a": 1, "b": 0}),
        ("1x2x0", [demand("a", 0), demand("b")], {"a": 0, "b": 2}),
        # A slot of b takes four times as much as one of a.
        ("1x8x0", [demand("a"), demand("b", cpus_per_worker=4)], {"a": 4, "b": 1}),
        # Only one of the two wants GPUs; what it takes most of decides its part.
        ("1x8x4", [demand("a"), demand("b", gpus_per_worker=1)], {"a": 5, "b": 3}),
        ("2x4x1", [demand("a", gpus_per_worker=0.5), demand("b", gpus_per_worker=0.5)], {"a": 2, "b": 2}),
        # Slots of two workers, and a retraining that grows by single ones.
        ("1x7x0", [demand("a", least=2, step=2), demand("b", least=2, step=2)], {"a": 4, "b": 2}),
        ("1x7x0", [demand("a", least=2, step=2), demand("b", least=2, step=1)], {"a": 4, "b": 3}),
        # The four workers of a need not spread over both nodes, and b needs a whole one.
        ("2x4x0", [demand("a"), demand("b", cpus_per_worker=4)], {"a": 4, "b": 1}),
        # b waits for its second turn: room comes free for two of its slots, so that one lies on one node.
        ("2x4x0", [demand("a"), demand("b", cpus_per_worker=4, waited_s=2 * TURN_S)], {"a": 0, "b": 1}),
    ],
)
def test_known_divisions(cluster: str, demands: list[StudyDemand], parts: dict[str, int]) -> None:
    found = divide(imagined(cluster), demands)
    assert {study: found[study] for study in parts} == parts


def test_a_study_alone_has_what_its_plan_says() -> None:
    draw = random.Random(1)
    for _ in range(300):
        nodes = [Node(str(i), draw.randint(1, 16), draw.randint(0, 4)) for i in range(draw.randint(1, 4))]
        cpus, gpus = draw.randint(1, 4), draw.choice([0, 0, 0.3, 0.5, 1, 2])
        least = draw.randint(1, 3)
        most = least + draw.choice([0, 2])
        places = sum(
            num_slots([node], Need(1, cpus, gpus, "pack")).slots
            for node in nodes
            if node.cpus >= cpus and node.gpus >= min(1, gpus) and node.gpus >= (gpus if gpus > 1 else 0)
            if not gpus or node.gpus
        )
        alone = demand("a", FULL * most, cpus_per_worker=cpus, gpus_per_worker=gpus, least=least)
        alone = alone._replace(step=1 if most > least else least)
        part = divide(nodes, [alone])["a"]
        assert shares(part, least, most) == shares(places, least, most), (nodes, alone)


def random_case(draw: random.Random) -> tuple[list[Node], list[StudyDemand]]:
    """Up to six studies on up to three nodes; any study alone can run."""
    nodes = [Node(str(i), draw.randint(4, 16), draw.randint(0, 4)) for i in range(draw.randint(1, 3))]
    with_gpus = any(node.gpus >= 1 for node in nodes)
    demands = []
    for number in range(draw.randint(1, 6)):
        least = draw.randint(1, 2)
        wanted = least * draw.randint(1, 12)
        demands.append(
            StudyDemand(
                f"s{number}",
                cpus_per_worker=draw.choice([1, 1, 2]),
                gpus_per_worker=draw.choice([0, 0, 0.5, 1]) if with_gpus and least == 1 else 0,
                least=least,
                step=draw.choice([1, least]),
                wanted=wanted,
                useful=wanted + least * draw.randint(0, 4),
                priority=draw.choice([0, 0, 0, 1, -1]),
                share=draw.choice([1.0, 1.0, 0.5, 3.0]),
                since_s=float(number),
                waited_s=draw.choice([0.0, 0.0, TURN_S / 2, TURN_S, 1.5 * TURN_S]),
            )
        )
    return nodes, demands


def test_any_division_fits_is_whole_and_wastes_nothing() -> None:
    checked = 0
    for seed in range(500):
        nodes, demands = random_case(random.Random(seed))
        parts = divide(nodes, demands)
        assert parts == divide(nodes, list(reversed(demands))), "every study computes the same, in whatever order"
        held = [(one, parts[one.study]) for one in demands]
        assert sum(part * one.cpus_per_worker for one, part in held) <= sum(node.cpus for node in nodes)
        assert sum(part * one.gpus_per_worker for one, part in held) <= sum(node.gpus for node in nodes) + 1e-9
        left_cpus = sum(node.cpus for node in nodes) - sum(part * one.cpus_per_worker for one, part in held)
        left_gpus = sum(node.gpus for node in nodes) - sum(part * one.gpus_per_worker for one, part in held)
        for one, part in held:
            assert part == 0 or one.least <= part <= one.useful
            # On one node, and with whole GPUs, nothing else can keep a worker out.
            if 0 < part < one.wanted and len(nodes) == 1 and all(d.gpus_per_worker in (0, 1) for d in demands):
                more = min(one.step, one.wanted - part)
                assert left_cpus < more * one.cpus_per_worker or left_gpus < more * one.gpus_per_worker, (seed, parts)
                checked += 1
    assert checked > 100


def test_every_study_has_a_slot_where_all_of_them_fit() -> None:
    for seed in range(100):
        draw = random.Random(seed)
        count = draw.randint(1, 8)
        demands = [
            demand("abcdefgh"[i], draw.randint(1, 20), priority=draw.randint(-2, 2), share=draw.uniform(0.1, 9))
            for i in range(count)
        ]
        parts = divide([Node("n", draw.randint(count, 30), 0)], demands)
        assert min(parts.values()) >= 1


@pytest.mark.parametrize("seed", range(10))
def test_no_study_starves_where_there_are_more_studies_than_room(seed: int) -> None:
    """Seven studies and two slots, which change hands every ten minutes: each gets its turn, whatever its priority."""
    draw = random.Random(seed)
    names = "abcdefg"
    priority = {name: draw.randint(-1, 1) for name in names}
    waited, served = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0)
    for _ in range(len(names) * 4):
        parts = divide(
            imagined("1x2x0"), [demand(name, priority=priority[name], waited_s=waited[name]) for name in names]
        )
        assert sum(parts.values()) == 2
        for name in names:
            served[name] += parts[name]
            waited[name] = 0.0 if parts[name] else waited[name] + TURN_S
    assert min(served.values()) >= 2
