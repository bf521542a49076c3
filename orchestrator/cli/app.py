"""The `aib` command: its verbs, and one place where an error becomes a sentence and an exit code."""

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import click
import typer

from orchestrator.cli import data, describe, doctor, models, report, search, studies
from orchestrator.cli.output import err, quiet_third_parties
from orchestrator.errors import EXIT_USAGE, exit_code_for
from orchestrator.scrub import scrub

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
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    quiet_third_parties()


for verb in (search.plan, search.search, search.train):
    app.command()(verb)
for verb in (studies.status, studies.trials, studies.best, studies.pareto):
    app.command()(verb)
for verb in (models.evaluate, models.models, models.promote, models.pull, models.predict):
    app.command()(verb)
app.command()(report.report)
app.command()(describe.describe)
app.command()(doctor.doctor)
app.add_typer(data.app, name="data")


def main(arguments: list[str] | None = None) -> None:
    """Runs one verb; leaves with the contract's exit code, and with one paragraph on stderr where it failed."""
    try:
        code = app(arguments, standalone_mode=False)
    except click.exceptions.Exit as leaving:
        code = leaving.exit_code
    except click.ClickException as error:
        error.show(file=sys.stderr)
        code = EXIT_USAGE
    except (KeyboardInterrupt, click.Abort):
        err.print("interrupted; nothing was being run that needs a resume.")
        code = 130
    except BrokenPipeError:
        # The reader of our output (head, less) has left; its business, and no error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        known = exit_code_for(error)
        if known is None or os.environ.get("AIB_TRACEBACK"):
            raise
        err.print(f"aib: {scrub(str(error))}", markup=False)
        code = known
    sys.exit(code if isinstance(code, int) else 0)
