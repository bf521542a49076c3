"""The studies that run on a cluster, from what their drivers report to each other (`aib studies`)."""

from typing import Any

from rich.table import Table

from orchestrator.errors import PreflightError
from orchestrator.planning.study_report import StudyReport
from orchestrator.ray_cluster.connection import connect
from orchestrator.ray_cluster.study_board import read_board

_SHOWN = ("study", "owner", "stage", "state", "slots", "starting", "waiting", "workers", "priority", "share", "since_s")


def cluster_studies(address: str | None) -> list[dict[str, Any]]:
    """The rows of `aib studies --json`, the longest running study first.

    Raises PreflightError without an address, and as `connect` does.
    """
    if address is None:
        raise PreflightError(
            "no cluster is named; give its head with --address HOST:6379 (or RAY_ADDRESS), or --address auto on one of "
            "its nodes. A study in a folder is shown by: aib status STUDY --root ROOT."
        )
    with connect(address):
        found = [StudyReport.read(report) for report in read_board().values()]
    return [
        study_row(report) for report in sorted((one for one in found if one is not None), key=lambda one: one.since_s)
    ]


def cluster_table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("study", "owner", "stage", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("slots", "waiting", "priority", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        numbers = (f"{row[name]:g}" for name in ("slots", "waiting", "priority", "share"))
        table.add_row(row["study"], row["owner"], row["stage"], row["state"], *numbers)
    return table


def study_row(report: StudyReport) -> dict[str, Any]:
    """One study of `aib studies --json`."""
    known = {**report.to_json(), "state": _state(report)}
    return {name: known[name] for name in _SHOWN}


def _state(report: StudyReport) -> str:
    """Whether the study trains, starts its workers, waits for room, or needs no slot any more."""
    if report.slots:
        return "running"
    if not report.wanted:
        return "ending"
    return "waiting for room" if report.waiting else "starting"
