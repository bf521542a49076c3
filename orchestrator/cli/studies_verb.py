"""`aib studies`: who uses a cluster."""

from orchestrator.cli.output import Address, Json, err, out, print_json


def studies(address: Address = None, as_json: Json = False) -> None:
    """List the studies that run on a cluster.

    Shows each study's owner, stage, slots, and slots that wait for room. Exit code 3 without a cluster.
    """
    from orchestrator.status.cluster_studies import cluster_studies, cluster_table

    rows = cluster_studies(address)
    if as_json:
        print_json({"address": address, "studies": rows})
    elif rows:
        out.print(cluster_table(rows))
    else:
        err.print(f"no study runs on the cluster at {address}")
