"""Section "Best configuration": parameters of the best trial, and the command that trains it again."""

from orchestrator.report.page.document import Block, Command, Facts, Text, spread
from orchestrator.report.parameter_text import params_text
from orchestrator.report.runs import ShownRun
from orchestrator.report.sections.retrain_command import retrain_command


def configuration_blocks(run: ShownRun) -> tuple[Block, ...]:
    error = spread(run.mean.get("final_val_error_pct"), run.std.get("final_val_error_pct"))
    rows = (
        ("Trial", run.trial),
        ("Parameters", params_text(run.record.params)),
        ("Validation error", f"{error} %"),
        ("Best epoch", f"{run.record.best_row['epoch']:.0f} of {run.config.epochs} (seed {run.record.seed})"),
    )
    return (Facts(rows), Text("To train it again:"), Command(retrain_command(run.config)))
