"""Plans a search without starting it (`aib plan`): reads data and cluster, writes nothing."""

from rich.console import Console

from orchestrator.checks.data import checks, this_machine, with_occluders
from orchestrator.checks.given_addresses import check_addresses
from orchestrator.options import RunOptions
from orchestrator.planning.capacity import Node, imagined
from orchestrator.planning.plan import Plan, make_plan
from orchestrator.study.lost_journal import check_journal
from orchestrator.study.paths import study_paths
from search_spaces.schema import SearchSpec


def plan_search(spec: SearchSpec, options: RunOptions, cluster: str | None, seconds_per_epoch: float | None) -> Plan:
    """The plan for an imagined `cluster` (NODESxCPUSxGPUS), the cluster of the options, or else this machine.

    Raises ConfigError and PreflightError for what a search refuses without a connection.
    """
    paths = study_paths(options.root, spec.name)
    check_addresses(options, paths)
    if paths.stored() is not None:
        check_journal(paths)
    resolved = with_occluders(spec, paths, Console(quiet=True))
    return make_plan(resolved, _nodes(options.address, cluster), seconds_per_epoch, checks(spec, paths))


def _nodes(address: str | None, cluster: str | None) -> list[Node]:
    if cluster is not None:
        return imagined(cluster)
    if address is None:
        return [this_machine()]
    # Ray is slow to import, and most plans do not need it.
    from orchestrator.ray_cluster.connection import connect
    from orchestrator.ray_cluster.nodes import nodes

    with connect(address):
        return nodes()
