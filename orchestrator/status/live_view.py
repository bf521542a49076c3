"""The table a person watches while a search runs; plain lines, one an event, where nobody watches."""

import time
from collections.abc import Callable

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestrator.process.logs import structured
from orchestrator.study.journal import StudyState, TrialRecord

_STYLES = {"running": "cyan", "completed": "green", "stopped": "yellow", "failed": "red"}


class LiveView:
    """Shows a study's state; `update` is called after every event, with the trial that it is about."""

    def __init__(
        self, console: Console, state: StudyState, planned: int, epochs: int, slots: Callable[[], int]
    ) -> None:
        self._console, self._state = console, state
        self._planned, self._epochs, self._slots = planned, epochs, slots
        # Drawn when it is shown, not at every event: with many trials events come faster than anybody looks.
        self._live = (
            Live(console=console, refresh_per_second=2, get_renderable=self._render) if console.is_terminal else None
        )
        self._printed: dict[str, tuple[int, str]] = {
            name: (record.epoch, record.state) for name, record in state.trials.items()
        }

    def __enter__(self) -> "LiveView":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._live:
            self._live.stop()

    def update(self, trial: str | None) -> None:
        """Something happened to the trial (None: to the study). Costs the same however many trials there are."""
        if self._live or trial is None:
            return
        if structured():
            # The recorder's own events say it.
            return
        record = self._state.trials[trial]
        now = (record.epoch, record.state)
        if self._printed.get(trial) != now:
            self._printed[trial] = now
            self._console.print(_line(record, self._epochs), highlight=False, soft_wrap=True)

    def _render(self) -> Group:
        # A copy in one go: the driver's threads add trials while this one draws.
        trials = list(self._state.trials.values())
        return Group(self._headline([one for one in trials if one.kind != "finalist"]), trial_table(trials[-25:]))

    def _headline(self, search: list[TrialRecord]) -> Text:
        ended = sum(record.state != "running" for record in search)
        left = seconds_left(search, self._planned, self._epochs, self._slots())
        return Text(
            f"{self._state.stage}: {ended} of {self._planned} trials ended"
            + (f", about {left / 60:.0f} min left" if left is not None and self._state.stage == "searching" else "")
        )


def trial_table(records: list[TrialRecord], held: bool = True) -> Table:
    """Trial, state, epoch, error, interpretability and parameters; no trial runs of a study that nobody has `held`."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (("trial", "left"), ("state", "left"), ("epoch", "right"), ("val error %", "right")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for name in ("interp %", "map std"):
        table.add_column(name, justify="right", no_wrap=True)
    # The only column that may give way where the terminal is narrow.
    table.add_column("parameters")
    for record in records:
        table.add_row(
            record.trial,
            Text("unfinished" if record.state == "running" and not held else record.state, style=_STYLES[record.state]),
            str(record.epoch),
            _number(record.outcome.get("val_error_pct")),
            _number(record.outcome.get("interp_centered_pct")),
            _number(record.outcome.get("val_attention_std"), 3),
            _params(record),
        )
    return table


def seconds_left(search: list[TrialRecord], planned: int, epochs: int, slots: int) -> float | None:
    """Time to the end of the search, from the epochs and the seconds an ended trial took on average."""
    ended = [record for record in search if record.ended_s is not None]
    if not ended:
        return None
    mean_s = sum((record.ended_s or 0) - record.started_s for record in ended) / len(ended)
    running = [record for record in search if record.state == "running"]
    # The clock may have been set since; an estimate is not worth more than bounds.
    spent_s = sum(max(0.0, min(time.time() - record.started_s, mean_s)) for record in running)
    return max(0.0, ((planned - len(ended)) * mean_s - spent_s) / max(1, slots))


def _line(record: TrialRecord, epochs: int) -> str:
    parts = [f"{record.trial} {record.state}"]
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
    shown = {**record.params, **({"seed": record.seed} if record.kind == "finalist" else {})}
    return " ".join(f"{key.rsplit('.', 1)[-1]}={_short(value)}" for key, value in shown.items())


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
