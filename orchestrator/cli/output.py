"""Options that several verbs share, and output: `--json` puts one object on stdout, everything else goes to stderr."""

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from orchestrator.cli.terminal import Terminal
from orchestrator.options import given_root
from orchestrator.process.logs import LineLog, LogFormat, configure, structured
from orchestrator.process.streams import guarded_output

Root = Annotated[
    Path,
    typer.Option(
        "--root", envvar="AIB_ROOT", callback=given_root, help="Folder of studies, data sets and local MLflow records."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
TrackingUri = Annotated[
    str | None,
    typer.Option("--tracking-uri", envvar="MLFLOW_TRACKING_URI", help="MLflow server, instead of local records."),
]
Address = Annotated[
    str | None,
    typer.Option("--address", envvar="RAY_ADDRESS", help="Running Ray cluster, instead of a local one."),
]
Storage = Annotated[
    str | None,
    typer.Option(
        "--storage",
        envvar="AIB_STORAGE",
        metavar="s3://BUCKET/PREFIX",
        help="Object store for the trials' checkpoints, instead of the study's folder.",
    ),
]
CopyData = Annotated[
    bool | None,
    typer.Option(
        "--copy-data/--no-copy-data",
        envvar="AIB_COPY_DATA",
        help="Copy the data to each node's own disk (under AIB_CACHE, else the temporary folder). "
        "Default: copy, unless there is one node and the root is on its local disk.",
    ),
]
Sets = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a field by its dotted key.")]

# Rich assumes 80 columns for a pipe, which would wrap tables. Python has no stdout at all where it was closed.
out = Terminal(width=None if sys.stdout is not None and sys.stdout.isatty() else 200)
err = Terminal(stderr=True)


_reserved: list[TextIO] = []


@contextmanager
def stdout_reserved(reserve: bool) -> Iterator[None]:
    """Reserves stdout for `print_json`; everything else written to it, also by Ray, goes to stderr."""
    if not reserve or sys.stdout is not sys.__stdout__:
        yield
        return
    print(end="", flush=True)
    ours = os.dup(1)
    os.dup2(2, 1)
    _reserved.append(guarded_output(ours))
    try:
        yield
    finally:
        _reserved.clear()
        os.dup2(ours, 1)
        os.close(ours)


def print_json(value: Mapping[str, Any]) -> None:
    """Prints one complete object and flushes it, before anything else can fail."""
    stream = _reserved[0] if _reserved else sys.stdout
    stream.write(json.dumps(value, indent=2, default=str) + "\n")
    stream.flush()


def log_as(log_format: LogFormat) -> None:
    """Sets up text or JSON lines on stderr; in JSON, text printed to `err` becomes the message of a line."""
    configure(log_format)
    if structured():
        err.file = LineLog(logging.getLogger("aib"))  # type: ignore[assignment]  # write is all it needs


def say_error(message: str) -> None:
    """Prints why a verb failed: one paragraph on stderr, or one JSON line of level error."""
    if structured():
        logging.getLogger("aib").error(message)
    else:
        err.print(message, markup=False)


def quiet_third_parties() -> None:
    """Silences notices of the libraries; their errors still appear."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    # Ray must not send usage statistics, and users cannot act on its deprecation warnings.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
