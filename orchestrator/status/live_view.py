"""Shows a running study: a live table on a terminal, else one line per event."""

import time
from collections.abc import Callable

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from orchestrator.process.logs import structured
from orchestrator.status.room_news import RoomNews
from orchestrator.status.trial_table import trial_line, trial_table
from orchestrator.study.journal import StudyState, TrialRecord
from orchestrator.study.slot_report import SlotReport


class LiveView:
    """Shows a study's state; call `update` after every event, with the event's trial."""

    def __init__(
        self, console: Console, state: StudyState, planned: int, epochs: int, slots: Callable[[], int]
    ) -> None:
        self._console, self._state = console, state
        self._planned, self._epochs, self._slots = planned, epochs, slots
        self._room: SlotReport | None = None
        self._news = RoomNews(console)
        # Drawn twice a second, not at every event: with many trials there are more events than anyone can see.
        self._live = (
            Live(console=console, refresh_per_second=2, get_renderable=self._render) if console.is_terminal else None
        )
        self._printed: dict[str, tuple[int, str]] = {
            name: (record.epoch, record.shown_state) for name, record in state.trials.items()
        }

    def __enter__(self) -> "LiveView":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Leaves the terminal as it was; safe to call again, and from any thread."""
        if self._live:
            self._live.stop()

    def update(self, trial: str | None) -> None:
        """Reports an event of the trial, or of the study if None. Its cost does not depend on the number of trials."""
        if self._live or trial is None:
            return
        if structured():
            # The recorder logs the same events.
            return
        record = self._state.trials[trial]
        now = (record.epoch, record.shown_state)
        if self._printed.get(trial) != now:
            self._printed[trial] = now
            self._console.print(trial_line(record, self._epochs), highlight=False, soft_wrap=True)

    def note(self, report: SlotReport | None) -> None:
        """Shows which slots wait for room, and who has it; None once no driver reports its slots."""
        self._room = report
        if self._live is None and report is not None:
            self._news.tell(report)

    def _render(self) -> Group:
        # A copy in one step: the driver's threads add trials while this thread draws.
        trials = list(self._state.trials.values())
        headline = self._headline([one for one in trials if one.kind != "finalist"])
        waiting = self._room.text if self._room is not None else ""
        room = [Text(waiting, style="yellow")] if waiting else []
        return Group(headline, *room, trial_table(trials[-25:]))

    def _headline(self, search: list[TrialRecord]) -> Text:
        ended = sum(record.state != "running" for record in search)
        left = seconds_left(search, self._planned, self._epochs, self._slots())
        return Text(
            f"{self._state.stage}: {ended} of {self._planned} trials ended"
            + (f", about {left / 60:.0f} min left" if left is not None and self._state.stage == "searching" else "")
        )


def seconds_left(search: list[TrialRecord], planned: int, epochs: int, slots: int) -> float | None:
    """Estimated seconds to the end of the search, from the mean duration of ended trials; None before one ended."""
    ended = [record for record in search if record.ended_s is not None]
    if not ended:
        return None
    mean_s = sum((record.ended_s or 0) - record.started_s for record in ended) / len(ended)
    running = [record for record in search if record.state == "running"]
    # Clamped, because the system clock may have been changed since the trial started.
    spent_s = sum(max(0.0, min(time.time() - record.started_s, mean_s)) for record in running)
    return max(0.0, ((planned - len(ended)) * mean_s - spent_s) / max(1, slots))
