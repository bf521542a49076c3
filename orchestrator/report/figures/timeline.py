"""How a search went: who passed the rungs, how the covered volume grew, when each trial ran and what it all cost."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from orchestrator.planning.plan import rung_epochs
from orchestrator.report.figures.looks import BLUE, CROWD, GREY, INK, ORANGE, one_axes
from orchestrator.report.figures.search_figures import ERROR, INTERP
from orchestrator.study.journal import TrialRecord
from orchestrator.study.ranking import comparable
from search_spaces.schema import SearchSpec

WORST_ERROR_PCT, WORST_INTERP_PCT = 100.0, 0.0
"""The corner that the hypervolume is measured from: all wrong, and maps that agree no more than by chance."""

_STATES = {
    "completed": {"facecolors": BLUE, "hatch": None},
    "stopped": {"facecolors": "none", "hatch": None},
    "failed": {"facecolors": "none", "hatch": "xxxx"},
    "running": {"facecolors": "none", "hatch": "...."},
}


class Rung(NamedTuple):
    epoch: int
    reached: int
    """Trials that reported this epoch."""
    went_on: int
    """Of these, those that were not ended by the scheduler at it."""


class Cost(NamedTuple):
    epochs: int
    epochs_in_full: int
    """What the same trials would have taken without early stopping or failures; of a running one what it has."""
    worker_hours: float
    busy_share: float | None
    """Of the time from the first start to the last end, what the lanes were in use; None before anything ended."""


def rungs(spec: SearchSpec, search: Sequence[TrialRecord], epochs: int) -> list[Rung]:
    """One entry a rung of the scheduler, and one for the last epoch."""
    found = []
    for epoch in rung_epochs(spec, epochs):
        reached = [record for record in search if record.epoch >= epoch]
        went_on = sum(not (record.state == "stopped" and record.epoch == epoch) for record in reached)
        found.append(Rung(epoch, len(reached), went_on))
    last = sum(record.epoch >= epochs for record in search)
    return [*found, Rung(epochs, last, last)]


def survival_figure(spec: SearchSpec, search: Sequence[TrialRecord], epochs: int) -> Figure:
    """How many trials reported each epoch, with the rungs of the scheduler."""
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


def hypervolumes(spec: SearchSpec, search: Sequence[TrialRecord]) -> list[float]:
    """After each trial's start, in that order: the share of the rectangle between error 100 % with score 0 % and error
    0 % with score 100 % that comparable trials so far dominate. A score below 0 counts as 0."""
    known = {record.trial: record.outcome for record in comparable(spec, search)}
    front: list[tuple[float, float]] = []
    found = []
    for record in search:
        outcome = known.get(record.trial, {})
        point = (outcome.get(ERROR, math.nan), outcome.get(INTERP, math.nan))
        if all(map(math.isfinite, point)) and not any(e <= point[0] and s >= point[1] for e, s in front):
            front = sorted([p for p in front if not (point[0] <= p[0] and point[1] >= p[1])] + [point])
        found.append(_volume(front))
    return found


def hypervolume_figure(volumes: Sequence[float]) -> Figure:
    figure, axes = one_axes("trial, in the order of their start", "share of error x score covered", (7.6, 3.0))
    axes.step(range(1, len(volumes) + 1), volumes, where="post", color=BLUE, linewidth=1.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(0, max([*volumes, 0.01]) * 1.08)
    return figure


def lanes(records: Sequence[TrialRecord]) -> list[tuple[int, TrialRecord]]:
    """Each trial with the first lane that was free when it began: as many lanes as ran at a time.

    A trial that is still running ends with the last event known.
    """
    now_s = _last_s(records)
    free_s: list[float] = []
    found = []
    for record in sorted(records, key=lambda r: (r.began_s, r.trial)):
        lane = next((i for i, until_s in enumerate(free_s) if until_s <= record.began_s), len(free_s))
        free_s[lane : lane + 1] = [now_s if record.ended_s is None else record.ended_s]
        found.append((lane, record))
    return found


def timeline_figure(records: Sequence[TrialRecord]) -> Figure:
    """When each trial ran, one lane a place in the pool; filled ran in full, empty was stopped, crossed failed."""
    placed, now_s = lanes(records), _last_s(records)
    start_s = min(record.began_s for record in records)
    unit, seconds = ("h", 3600.0) if now_s - start_s > 7200 else ("min", 60.0)
    num_lanes = 1 + max(lane for lane, _ in placed)
    figure, axes = one_axes(f"{unit} since the first trial began", "lane", (7.6, min(8.0, 1.5 + 0.32 * num_lanes)))
    crowded = len(placed) > CROWD
    for state, look in _STATES.items():
        # One collection a state and lane keeps a large study's picture small.
        bars: dict[int, list[tuple[float, float]]] = {}
        for lane, record in placed:
            if record.state == state:
                end_s = now_s if record.ended_s is None else record.ended_s
                bars.setdefault(lane, []).append(
                    ((record.began_s - start_s) / seconds, (end_s - record.began_s) / seconds)
                )
        for place, (lane, spans) in enumerate(bars.items()):
            axes.broken_barh(
                spans,
                (lane + 0.6, 0.8),
                edgecolor=INK if state == "completed" else GREY,
                linewidth=0.6,
                label=state if place == 0 else None,
                rasterized=crowded,
                **look,  # type: ignore[arg-type]
            )
    axes.set(ylim=(0.4, num_lanes + 0.8))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8)
    return figure


def cost(spec: SearchSpec, records: Sequence[TrialRecord], epochs: int) -> Cost:
    """Of trials of all kinds; time counts from a trial's start to its end, an interruption in between included."""
    ended = [record for record in records if record.ended_s is not None]
    seconds = sum(map(_seconds, ended))
    span_s = _last_s(ended) - min(record.began_s for record in ended) if ended else 0.0
    num_lanes = 1 + max(lane for lane, _ in lanes(ended)) if ended else 1
    return Cost(
        sum(record.epoch for record in records),
        sum(record.epoch if record.state == "running" else epochs for record in records),
        sum(_seconds(record) * _workers(record, spec) for record in ended) / 3600,
        min(1.0, seconds / (span_s * num_lanes)) if span_s > 0 else None,
    )


def _seconds(record: TrialRecord) -> float:
    return (record.ended_s or 0) - record.began_s


def _workers(record: TrialRecord, spec: SearchSpec) -> float:
    """Of an epoch on average; a retraining may change them on its way."""
    counts = [row["num_workers"] for row in record.history if "num_workers" in row]
    return sum(counts) / len(counts) if counts else spec.resources.workers_per_trial


def _volume(front: Sequence[tuple[float, float]]) -> float:
    """`front` by ascending error, so by ascending score."""
    covered, score_before = 0.0, WORST_INTERP_PCT
    for error, score in front:
        gained = max(score, score_before) - score_before
        covered += gained * (WORST_ERROR_PCT - error)
        score_before += gained
    return covered / 1e4


def _last_s(records: Sequence[TrialRecord]) -> float:
    return max(time for record in records for time in (record.began_s, record.ended_s) if time is not None)
