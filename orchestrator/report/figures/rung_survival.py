"""How many trials reached each epoch and passed each rung of the scheduler."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from orchestrator.planning.plan import rung_epochs
from orchestrator.report.figures.marks import BLUE, ORANGE, one_axes
from orchestrator.study.journal import TrialRecord
from search_spaces.schema import SearchSpec


class Rung(NamedTuple):
    epoch: int
    reached: int
    """Trials that reported this epoch."""
    continued: int
    """Trials that reported it and that the scheduler did not stop there."""


def rungs(spec: SearchSpec, search: Sequence[TrialRecord], epochs: int) -> list[Rung]:
    """One entry for each rung of the scheduler, and one for the last epoch."""
    found = []
    for epoch in rung_epochs(spec, epochs):
        reached = [record for record in search if record.epoch >= epoch]
        continued = sum(not (record.state == "stopped" and record.epoch == epoch) for record in reached)
        found.append(Rung(epoch, len(reached), continued))
    last = sum(record.epoch >= epochs for record in search)
    return [*found, Rung(epochs, last, last)]


def survival_figure(spec: SearchSpec, search: Sequence[TrialRecord], epochs: int) -> Figure:
    """The number of trials that reported each epoch, with the scheduler's rungs as vertical lines."""
    figure, axes = one_axes("epoch", "trials that reported it", (7.6, 3.0))
    counts = [sum(record.epoch >= epoch for record in search) for epoch in range(1, epochs + 1)]
    axes.step(range(1, epochs + 1), counts, where="mid", color=BLUE, linewidth=1.8, label="trials")
    for place, epoch in enumerate(rung_epochs(spec, epochs)):
        axes.axvline(epoch, color=ORANGE, linestyle="--", linewidth=1.2, label="rung" if place == 0 else None)
    axes.set_ylim(0, max([*counts, 1]) * 1.06)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=8)
    return figure
