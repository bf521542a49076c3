"""How many slots a cluster holds, and the message where it holds none."""

import pytest

from orchestrator.errors import PreflightError
from orchestrator.planning.capacity import Need, Node, imagined, num_slots, shares
from trainables.errors import ConfigError


def nodes(*offers: tuple[float, float]) -> list[Node]:
    return [Node(f"n{i}", cpus, gpus) for i, (cpus, gpus) in enumerate(offers)]


def need(workers: int, cpus: float, gpus: float = 0) -> Need:
    return Need(workers, cpus, gpus, "pack")


@pytest.mark.parametrize(
    ("offers", "asked", "slots", "limited_by"),
    [
        ([(2, 0)], need(1, 1), 2, "cpus"),
        ([(2, 0)], need(2, 1), 1, "cpus"),
        ([(3, 0)], need(2, 1), 1, "cpus"),
        ([(16, 4)], need(1, 4, 1), 4, "gpus"),
        ([(16, 8)], need(1, 4, 1), 4, "cpus"),
        ([(64, 8)], need(2, 4, 1), 4, "gpus"),
        ([(8, 1), (8, 1)], need(2, 4, 1), 1, "gpus"),  # a slot over two nodes
        ([(3, 0), (3, 0)], need(1, 2), 2, "cpus"),  # never half a worker here and half there
        ([(3, 0), (3, 0)], need(1, 1), 6, "cpus"),
        ([(8, 0), (8, 4)], need(1, 2, 1), 4, "gpus"),  # CPUs on the other node are no help
        ([(4, 0), (1, 4)], need(1, 1, 1), 1, "cpus"),  # the CPUs beside the GPUs are what is short
        ([(8, 1)], need(1, 1, 0.25), 4, "gpus"),
        ([(8, 2)], need(1, 1, 0.6), 2, "gpus"),  # a share is on one GPU: 2 x 1, not 2 / 0.6
        ([(64, 1)], need(1, 1, 0.1), 10, "gpus"),
        ([(64, 3)], need(1, 1, 2), 1, "gpus"),
        ([(0.3, 0)], need(1, 0.1), 3, "cpus"),
        ([(1000, 0)] * 100, need(4, 1), 25_000, "cpus"),
    ],
)
def test_slots_are_what_fits(offers: list, asked: Need, slots: int, limited_by: str) -> None:
    found = num_slots(nodes(*offers), asked)
    assert (found.slots, found.limited_by) == (slots, limited_by)


@pytest.mark.parametrize(
    ("most", "slots", "limited_by"), [(None, 4, "cpus"), (9, 4, "cpus"), (4, 4, "cpus"), (3, 3, "max_concurrent")]
)
def test_max_concurrent_only_ever_lowers(most: int | None, slots: int, limited_by: str) -> None:
    found = num_slots(nodes((4, 0)), need(1, 1), most)
    assert (found.slots, found.limited_by) == (slots, limited_by)


@pytest.mark.parametrize(
    ("places", "least", "most", "shape"),
    [
        (8, 2, 4, (4, 4)),
        (7, 2, 4, (4, 3)),
        (5, 2, 4, (4,)),  # one worker more is not enough for a slot
        (3, 2, 4, (3,)),
        (1, 2, 4, ()),
        (3, 1, 8, (3,)),
        (7, 2, 2, (2, 2, 2)),
    ],
)
def test_elastic_slots_share_what_there_is(places: int, least: int, most: int, shape: tuple[int, ...]) -> None:
    assert shares(places, least, most) == shape


def test_an_elastic_slot_says_what_it_has_and_what_it_may_have() -> None:
    found = num_slots(nodes((3, 0), (2, 0)), Need(2, 1, 0, "pack", 4, "finalists.workers_per_trial"))
    assert found.shape == (4,)
    assert found.explanation.endswith(
        "1 trial at a time, limited by cpus, of 4 workers now and 2 to 4 as nodes come and go"
    )
    with pytest.raises(PreflightError, match=r"finalists\.workers_per_trial to at most 2"):
        num_slots(nodes((2, 0)), Need(3, 1, 0, "pack", 4, "finalists.workers_per_trial"))


def test_placement_is_a_wish() -> None:
    offers = nodes((8, 0))
    assert num_slots(offers, Need(2, 1, 0, "spread")) == num_slots(offers, Need(2, 1, 0, "pack"))


@pytest.mark.parametrize(
    ("offers", "asked", "said"),
    [
        ([], need(1, 1), ["1 worker of 1 CPU", "no node"]),
        ([(2, 0)], need(1, 1, 1), ["1 worker of 1 CPU and 1 GPU", "2 CPUs and 0 GPUs", "resources.gpus_per_worker: 0"]),
        ([(2, 0)], need(3, 1), ["3 workers", "2 CPUs", "hold 2", "resources.workers_per_trial to at most 2"]),
        ([(2, 0), (4, 0)], need(1, 6), ["6 CPUs", "2 nodes with 6 CPUs", "resources.cpus_per_worker to at most 4"]),
        ([(8, 1)], need(1, 4, 2), ["2 GPUs", "resources.gpus_per_worker to at most 1"]),
        ([(2, 1)], need(1, 4, 2), ["cpus_per_worker to at most 2", "gpus_per_worker to at most 1"]),
        ([(64, 0), (2, 8)], need(1, 4, 1), ["resources.cpus_per_worker to at most 2"]),
        ([(0.5, 0)], need(1, 1), ["0.5 CPUs", "use larger machines"]),
    ],
)
def test_an_impossible_request_says_what_is_asked_what_is_there_and_which_field_to_change(
    offers: list, asked: Need, said: list[str]
) -> None:
    with pytest.raises(PreflightError) as caught:
        num_slots(nodes(*offers), asked)
    assert [part for part in said if part not in str(caught.value)] == []


def test_a_cluster_that_is_not_there_is_written_as_nodes_cpus_and_gpus() -> None:
    assert [node[1:] for node in imagined("2x32x8")] == [(32, 8), (32, 8)]
    assert [node[1:] for node in imagined("1x64x0, 1x16x4")] == [(64, 0), (16, 4)]
    assert len({node.node_id for node in imagined("3x1x1,2x1x0")}) == 5


@pytest.mark.parametrize(
    "text", ["", "2", "2x32", "0x4x1", "2x0x1", "2x4x-1", "2x4x1x1", "axbxc", "99999x1x1", "1x1x1,"]
)
def test_anything_else_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(ConfigError, match="NODESxCPUSxGPUS, such as 2x32x8"):
        imagined(text)
