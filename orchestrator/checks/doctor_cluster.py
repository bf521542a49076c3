"""The checks of `aib doctor` that need a cluster: one function each, over the nodes' answers."""

from collections.abc import Callable, Iterator
from pathlib import Path

from orchestrator.checks.storage import check_storage
from orchestrator.errors import PreflightError
from orchestrator.planning.capacity import Node
from orchestrator.ray_cluster.connection import Cluster
from orchestrator.ray_cluster.metrics_endpoints import metrics_endpoints
from orchestrator.ray_cluster.node_probe import ProbedNode, versions
from orchestrator.ray_cluster.tokens import token_place
from orchestrator.study.checkpoint_storage import TrialStorage
from orchestrator.submission.jobs_api import connect_jobs

SKEW_S = 2.0


def cluster_checks(cluster: Cluster, probed: list[ProbedNode], root: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yields each check with its name; a check returns what it found, or raises an error that says what to do."""
    yield "ray", lambda: resources(probed)
    yield "jobs", lambda: jobs_api(f"http://{cluster.dashboard_url}")
    yield "nodes", lambda: same_versions(probed)
    yield "gpus", lambda: visible_gpus(probed)
    yield "clocks", lambda: clocks(probed)
    yield "shared storage", lambda: shared_storage(len(probed), root)
    yield "metrics", lambda: f"read at {', '.join(metrics_endpoints())}"


def resources(probed: list[ProbedNode]) -> str:
    return f"{_offer([node.resources for node in probed])}, dashboard on, token in {token_place()}"


def jobs_api(address: str) -> str:
    """Checks that the Jobs API, which runs any command, accepts our token and refuses calls without one."""
    api = connect_jobs(address)
    if api.answers_without_token():
        raise PreflightError(
            f"the Jobs API at {api.url} runs commands for anybody, without a token; start the cluster with "
            "RAY_AUTH_MODE=token on every node."
        )
    running = sum(not job.ended for job in api.jobs())
    found = [node for node, _ in api.nodes()]
    return f"{api.url} takes jobs with a token only, {_offer(found)}, {running} jobs running, token in {token_place()}"


def _offer(found: list[Node]) -> str:
    cpus, gpus = sum(node.cpus for node in found), sum(node.gpus for node in found)
    return f"{len(found)} nodes, {cpus:g} CPUs, {gpus:g} GPUs"


def same_versions(probed: list[ProbedNode]) -> str:
    ours = versions()
    for node in probed:
        facts = node.facts()
        other = [
            f"{name} {facts.versions.get(name, 'is missing')}, here {value}"
            for name, value in ours.items()
            if facts.versions.get(name) != value
        ]
        if other:
            raise PreflightError(
                f"{facts.host} has {'; '.join(other)}. Install the same on every node: "
                "pip install --constraint constraints.txt ."
            )
    return f"{len(probed)} with the versions of this process"


def visible_gpus(probed: list[ProbedNode]) -> str:
    for node in probed:
        facts, told = node.facts(), int(node.resources.gpus)
        if facts.gpus < told:
            raise PreflightError(
                f"{facts.host} was started with {told} GPUs and torch sees {facts.gpus} there; check its driver "
                "(nvidia-smi) and that torch is a CUDA build."
            )
        if facts.gpus > 0 and told == 0:
            raise PreflightError(
                f"torch sees {facts.gpus} GPUs on {facts.host} that Ray was not told of; start that node with "
                f"`ray start --num-gpus={facts.gpus}`."
            )
    total = sum(int(node.resources.gpus) for node in probed)
    return f"{total} of {total} visible to torch" if total else "none in this cluster"


def clocks(probed: list[ProbedNode]) -> str:
    """Checks the nodes' clocks: records hold times of the driver and of workers, which must be comparable."""
    worst = 0.0
    for node in probed:
        skew = node.skew()
        surely_s = max(0.0, abs(skew.ahead_s) - skew.unsure_s)
        if surely_s > SKEW_S:
            raise PreflightError(
                f"the clock of {node.facts().host} is {skew.ahead_s:+.1f} s off this machine's; run a time service "
                f"(chrony, systemd-timesyncd) on every node; at most {SKEW_S:g} s are taken."
            )
        worst = max(worst, surely_s)
    return f"within {worst:.2f} s of this machine's"


def shared_storage(num_nodes: int, root: Path) -> str:
    """Checks the root's nearest existing folder as a search does before it starts; leaves no file."""
    there = next(path for path in (root.resolve(), *root.resolve().parents) if path.exists())
    check_storage(TrialStorage(there), there, ())
    return f"{there} is written and read by {num_nodes} nodes and this process"
