"""What the verbs share in talking to a person or a program: one JSON object on stdout, everything else on stderr."""

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console

from orchestrator.process.logs import LineLog, LogFormat, configure, structured

Root = Annotated[
    Path, typer.Option("--root", envvar="AIB_ROOT", help="Folder of studies, data sets and the local record.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
TrackingUri = Annotated[
    str | None,
    typer.Option("--tracking-uri", envvar="MLFLOW_TRACKING_URI", help="An MLflow server instead of the local record."),
]
Address = Annotated[
    str | None, typer.Option("--address", envvar="RAY_ADDRESS", help="A running Ray cluster instead of a local one.")
]
Storage = Annotated[
    str | None,
    typer.Option(
        "--storage",
        envvar="AIB_STORAGE",
        metavar="s3://BUCKET/PREFIX",
        help="Keep the trials' checkpoints in an object store instead of the study's folder.",
    ),
]
CopyData = Annotated[
    bool | None,
    typer.Option(
        "--copy-data/--no-copy-data",
        envvar="AIB_COPY_DATA",
        help="Whether each node reads a copy of the data on its own disk (under AIB_CACHE, else the temporary folder). "
        "Left out: yes, unless the root is a local disk of the only node.",
    ),
]
Sets = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a field, by dotted key.")]

# Rich takes 80 columns for a pipe, which would break tables for no reader's benefit.
out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False, width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
"""Names, labels and paths are the user's: brackets and colons in them are text."""


_reserved: list[TextIO] = []


@contextmanager
def stdout_reserved(reserve: bool) -> Iterator[None]:
    """Keeps the process's stdout for `print_json`; what else writes there, Ray's notices too, goes to stderr."""
    if not reserve or sys.stdout is not sys.__stdout__:
        yield
        return
    print(end="", flush=True)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as ours:
        os.dup2(2, 1)
        _reserved.append(ours)
        try:
            yield
        finally:
            _reserved.clear()
            ours.flush()
            os.dup2(ours.fileno(), 1)


def print_json(value: Mapping[str, Any]) -> None:
    """One object, complete, flushed before anything else can fail."""
    stream = _reserved[0] if _reserved else sys.stdout
    stream.write(json.dumps(value, indent=2, default=str) + "\n")
    stream.flush()


def log_as(log_format: LogFormat) -> None:
    """Text or JSON lines on stderr; in JSON what is printed there for people is a line's message."""
    configure(log_format)
    if structured():
        err.file = LineLog(logging.getLogger("aib"))  # type: ignore[assignment]  # write is all it needs


def say_error(message: str) -> None:
    """Why a verb failed: one paragraph on stderr, or one line of level error."""
    if structured():
        logging.getLogger("aib").error(message)
    else:
        err.print(message, markup=False)


def quiet_third_parties() -> None:
    """Keeps the libraries' own notices out of our output; their errors still come."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    # Ray's usage ping would leave the machine, and its deprecation notes are not the user's to act on.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
