"""The `aib` command: registers the verbs, and turns each error into a message and an exit code.

The verbs import the rooms they use inside their functions: `aib -h` and tab completion import every module of `cli/`,
and must not wait for torch, ray and mlflow.
"""

import io
import os
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from orchestrator.cli import data_verbs as data
from orchestrator.cli import describe_verb as describe
from orchestrator.cli import doctor_verb as doctor
from orchestrator.cli import gc_verb as gc
from orchestrator.cli import model_verbs as models
from orchestrator.cli import report_verb as report
from orchestrator.cli import search_verbs as search
from orchestrator.cli import studies_verb as cluster_studies
from orchestrator.cli import study_verbs as studies
from orchestrator.cli import submit_verb as submit
from orchestrator.cli.output import err, log_as, quiet_third_parties, say_error, stdout_reserved
from orchestrator.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    PreflightError,
    exit_code_for,
)
from orchestrator.process.logs import LogFormat
from orchestrator.process.proxy import reach_this_machine_directly
from orchestrator.process.redact import redact
from orchestrator.process.restart import remember_command
from orchestrator.process.streams import ReaderGoneError, guard_streams

app = typer.Typer(
    name="aib",
    help="Search, train, score, record and publish AIB image classifiers on Ray, Optuna and MLflow.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            typer.echo(f"aib {version('aib-orchestrator')}")
        except PackageNotFoundError:
            typer.echo("aib (not installed: run from a checkout)")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    log_format: Annotated[
        LogFormat,
        typer.Option(
            "--log-format", envvar="AIB_LOG", help="Format of stderr: text, or json with one object per line."
        ),
    ] = "text",
) -> None:
    quiet_third_parties()
    log_as(log_format)
    reach_this_machine_directly()
    _check_working_folder()


def _check_working_folder() -> None:
    try:
        os.getcwd()
    except FileNotFoundError:
        raise PreflightError(
            "the working directory was removed, and relative paths lead nowhere; change to another: cd ~"
        ) from None


_VERBS: tuple[Callable[..., None], ...] = (
    search.plan,
    search.search,
    search.train,
    submit.submit,
    studies.status,
    studies.watch,
    studies.trials,
    studies.best,
    studies.pareto,
    cluster_studies.studies,
    models.evaluate,
    report.report,
    models.models,
    models.promote,
    models.pull,
    models.predict,
    describe.describe,
    doctor.doctor,
    gc.gc,
)
for _verb in _VERBS:
    app.command()(_verb)
app.add_typer(data.app, name="data")


def main(arguments: list[str] | None = None) -> None:
    """Runs one verb and exits with its exit code; an error prints one paragraph on stderr."""
    guard_streams()
    if arguments is None:
        remember_command()
    with stdout_reserved("--json" in (sys.argv[1:] if arguments is None else arguments)):
        code = _run(arguments)
    sys.exit(code)


def _said(error: Exception) -> str:
    """The error's message; the system's own, which begins with a number, becomes a sentence."""
    if isinstance(error, OSError) and error.filename is not None:
        return (
            f"{error.filename} cannot be used ({error.strerror}); make it usable for this user, or name another place."
        )
    return str(error)


def _from_environment(error: Exception) -> str:
    """Which variable gave the option's value, if one did: its message names the option alone."""
    named = getattr(getattr(error, "param", None), "envvar", None)
    variables = [named] if isinstance(named, str) else list(named or ())
    given = [f"{name} is {os.environ[name][:80]!r}" for name in variables if os.environ.get(name)]
    return f" ({given[0]})" if given else ""


def _run(arguments: list[str] | None) -> int:
    try:
        code = app(arguments, standalone_mode=False)
    except typer.Exit as leaving:
        return int(leaving.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        err.print("interrupted")
        return EXIT_INTERRUPTED
    except ReaderGoneError:
        # Not an error: whoever read our output has seen enough.
        return EXIT_DONE
    except Exception as error:
        # A usage error of Typer; these types have no public name.
        if callable(show := getattr(error, "show", None)):
            show(file=(usage := io.StringIO()))
            say_error(redact(usage.getvalue().rstrip() + _from_environment(error)))
            return EXIT_USAGE
        known = exit_code_for(error)
        if known is None or os.environ.get("AIB_TRACEBACK"):
            # Printed here, redacted: Python would print the secrets in URIs.
            say_error(redact("".join(traceback.format_exception(error)).rstrip()))
            return EXIT_FAILED if known is None else known
        say_error(f"aib: {redact(_said(error))}")
        return known
    return code if isinstance(code, int) else EXIT_DONE
