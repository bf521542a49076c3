"""`aib doctor`: checks machine, cluster, storage and tracking, and says how to fix each failure."""

from typing import Annotated

import typer

from orchestrator.cli.output import Address, Json, Root, TrackingUri, out, print_json
from orchestrator.options import DEFAULT_ROOT


def doctor(
    root: Root = DEFAULT_ROOT,
    tracking_uri: TrackingUri = None,
    address: Address = None,
    as_json: Json = False,
    start_ray: Annotated[bool, typer.Option("--ray/--no-ray", help="Also check Ray: start or join a cluster.")] = True,
) -> None:
    """Check machine, data, storage, tracking and Ray.

    Exit code 3 if a check fails; its message says what to do.
    """
    from orchestrator.checks.doctor import diagnose
    from orchestrator.errors import EXIT_DONE, EXIT_PREFLIGHT

    checks = diagnose(root, tracking_uri, address, start_ray)
    healthy = all(check.ok for check in checks)
    if as_json:
        print_json({"ok": healthy, "checks": [check._asdict() for check in checks]})
    else:
        for check in checks:
            out.print(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.message}", markup=False)
    raise typer.Exit(EXIT_DONE if healthy else EXIT_PREFLIGHT)
