"""Prints which slots of a study wait for room, and who has it: one line whenever that changes."""

from rich.console import Console

from orchestrator.study.slot_report import SlotReport


class RoomNews:
    """Takes every report of a study's slots."""

    def __init__(self, console: Console) -> None:
        self._console, self._last = console, SlotReport()

    def tell(self, report: SlotReport) -> None:
        """Free CPUs alone, which change with every trial of another study, are worth no line."""
        if report.news != self._last.news:
            text = report.text or "no trial slot waits for room any more"
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)
        self._last = report
