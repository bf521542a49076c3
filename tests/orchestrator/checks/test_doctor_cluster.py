"""The cluster's checks: what each refuses, over toy nodes; and all of them over two real ones."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.checks import doctor_cluster
from orchestrator.errors import PreflightError
from orchestrator.planning.capacity import Node
from orchestrator.ray_cluster.connection import Cluster
from orchestrator.ray_cluster.node_probe import NodeFacts, ProbedNode, Skew, probed_nodes, versions
from tests.support.nodes import second_node

NO_SKEW = Skew(0, 0)


class ToyNode:
    """A node with given answers."""

    def __init__(self, *, gpus: float = 0, seen: int = 0, skew: Skew = NO_SKEW, **other: str) -> None:
        self.resources = Node("0" * 8, 2, gpus)
        self._facts, self._skew = NodeFacts("node-1", {**versions(), **other}, seen), skew

    def facts(self) -> NodeFacts:
        return self._facts

    def skew(self) -> Skew:
        return self._skew


def refusal(check: Callable[..., str], node: ToyNode) -> str:
    with pytest.raises(PreflightError) as refused:
        check([node])
    return str(refused.value)


def test_other_versions_are_named_with_their_node() -> None:
    message = refusal(doctor_cluster.same_versions, ToyNode(torch="1.0.0"))
    assert "node-1 has torch 1.0.0" in message
    assert "constraints.txt" in message


@pytest.mark.parametrize(("told", "seen", "hint"), [(2, 1, "nvidia-smi"), (0, 4, "--num-gpus=4")])
def test_gpus_that_torch_and_ray_count_differently(told: int, seen: int, hint: str) -> None:
    assert hint in refusal(doctor_cluster.visible_gpus, ToyNode(gpus=told, seen=seen))


def test_gpus_that_both_see() -> None:
    assert doctor_cluster.visible_gpus([ToyNode(gpus=4, seen=4)]) == "4 of 4 visible to torch"  # type: ignore[list-item]


def test_a_clock_is_wrong_only_beyond_what_the_measurement_allows() -> None:
    assert "-9.0 s" in refusal(doctor_cluster.clocks, ToyNode(skew=Skew(-9.0, 0.1)))
    slow_answer = ToyNode(skew=Skew(9.0, 8.0))
    assert "within 1.00 s" in doctor_cluster.clocks([slow_answer])  # type: ignore[list-item]


@pytest.mark.ray
@pytest.mark.slow
def test_two_real_nodes_pass_every_check(cluster: Cluster, tmp_path: Path) -> None:
    with second_node(cluster, 1, tmp_path / "node.log"), probed_nodes() as probed:
        assert len(probed) == 2
        assert all(isinstance(node, ProbedNode) for node in probed)
        found = {name: check() for name, check in doctor_cluster.cluster_checks(cluster, probed, tmp_path / "root")}
    assert found["ray"].startswith("2 nodes, 3 CPUs")
    assert found["nodes"] == "2 with the versions of this process"
    assert found["metrics"].count("/metrics") == 2
    assert "2 nodes" in found["shared storage"]
    assert {path.name for path in tmp_path.iterdir()} == {"node.log"}


@pytest.mark.ray
@pytest.mark.slow
def test_the_jobs_api_wants_the_clusters_token(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    with probed_nodes() as probed, pytest.raises(PreflightError, match="rejects our token"):
        dict(doctor_cluster.cluster_checks(cluster, probed, Path()))["jobs"]()
