"""`aib submit`: runs a search as a Ray job."""

import sys
from typing import Annotated

import typer

from orchestrator.cli.output import CopyData, Json, Sets, Storage, TrackingUri, err, print_json
from orchestrator.cli.search_verbs import Name, Spec


def submit(
    spec: Spec,
    address: Annotated[
        str,
        typer.Option(
            "--address",
            envvar=["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"],
            help="URL of the cluster's dashboard, http://HEAD:8265.",
        ),
    ],
    root: Annotated[
        str | None,
        typer.Option("--root", envvar="AIB_ROOT", help="Folder on the cluster; default: the cluster's AIB_ROOT."),
    ] = None,
    name: Name = None,
    sets: Sets = [],  # noqa: B006 - typer reads the default, never changed
    tracking_uri: TrackingUri = None,
    storage: Storage = None,
    copy_data: CopyData = None,
    send_credentials: Annotated[
        bool,
        typer.Option(
            "--send-credentials",
            help="Send the MLflow and AWS credentials that are set here. Ray then writes them in clear text to the "
            "cluster's logs and shows them to everyone with its token. Default: the job uses those of the cluster.",
        ),
    ] = False,
    labels: Annotated[
        list[str],
        typer.Option("--driver-label", metavar="LABEL=VALUE", help="Label of the driver's node; default: the head."),
    ] = [],  # noqa: B006 - typer reads the default, never changed
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the job's log until it ends.")] = True,
    as_json: Json = False,
) -> None:
    """Run a search as a job on a Ray cluster.

    Follows a study that already runs there, and resumes one that has ended. Exits with the search's own exit code.
    """
    from orchestrator.submission.submit import Submission, submit_search

    submission = Submission(
        spec=spec,
        sets=tuple(sets),
        name=name,
        root=root,
        tracking_uri=tracking_uri,
        storage=storage,
        copy_data=copy_data,
        send_credentials=send_credentials,
        labels=dict(_pair(label) for label in labels),
    )
    # With --json, stdout holds only the one object.
    stream = sys.stderr if as_json else sys.stdout

    def write(text: str) -> None:
        stream.write(text)
        stream.flush()

    job, code = submit_search(submission, address, wait=wait, console=err, write=write)
    if as_json:
        print_json({"study": job.study, "job": job.to_json()})
    raise typer.Exit(code)


def _pair(label: str) -> tuple[str, str]:
    key, equals, value = label.partition("=")
    if not (key and equals and value):
        raise typer.BadParameter(f"{label!r} is not of the form LABEL=VALUE.", param_hint="--driver-label")
    return key, value
