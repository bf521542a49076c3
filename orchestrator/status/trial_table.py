"""The table of trials on the terminal, with its columns: `aib trials`, `aib pareto` and the live view."""

from rich.table import Table
from rich.text import Text

from orchestrator.study.journal import TrialRecord

_STYLES = {"starting": "magenta", "running": "cyan", "completed": "green", "stopped": "yellow", "failed": "red"}


def trial_table(records: list[TrialRecord], driver_running: bool = True) -> Table:
    """One row per trial: state, epoch, error, interpretability and parameters.

    Without a running driver no trial can run: a trial that has not ended is shown as "unfinished".
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (("trial", "left"), ("state", "left"), ("epoch", "right"), ("val error %", "right")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for name in ("interp %", "map std"):
        table.add_column(name, justify="right", no_wrap=True)
    # On a narrow terminal only this column is wrapped.
    table.add_column("parameters")
    for record in records:
        unfinished = record.state == "running" and not driver_running
        table.add_row(
            record.trial,
            Text("unfinished" if unfinished else record.shown_state, style=_STYLES[record.shown_state]),
            str(record.epoch),
            _number(record.outcome.get("val_error_pct")),
            _number(record.outcome.get("interp_centered_pct")),
            _number(record.outcome.get("val_attention_std"), 3),
            _params(record),
        )
    return table


def trial_line(record: TrialRecord, epochs: int) -> str:
    """One trial as a line of text; `epochs` is its planned length."""
    parts = [f"{record.trial} {record.shown_state}"]
    if record.history:
        last = record.history[-1]
        parts.append(f"epoch {record.epoch}/{epochs}")
        parts.append(f"val error {last['val_error_pct']:.2f} %")
        if "interp_centered_pct" in last:
            parts.append(f"interp {last['interp_centered_pct']:.1f} %")
        if "val_attention_std" in last:
            parts.append(f"map std {last['val_attention_std']:.3f}")
    else:
        parts.append(_params(record))
    if record.reason:
        parts.append(record.reason)
    return "  ".join(parts)


def _params(record: TrialRecord) -> str:
    """The trial's parameters as `name=value` words; for a finalist its seed too."""
    shown = {**record.params, **({"seed": record.seed} if record.kind == "finalist" else {})}
    return " ".join(f"{key.rsplit('.', 1)[-1]}={_short(value)}" for key, value in shown.items())


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
