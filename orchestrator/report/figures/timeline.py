"""When each trial ran, and what the trials cost in epochs and worker-hours."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from orchestrator.report.figures.marks import BLUE, GREY, INK, MAX_VECTOR_MARKS, one_axes
from orchestrator.study.journal import TrialRecord
from search_spaces.schema import SearchSpec

_BARS = {
    "completed": {"facecolors": BLUE, "hatch": None},
    "stopped": {"facecolors": "none", "hatch": None},
    "failed": {"facecolors": "none", "hatch": "xxxx"},
    "running": {"facecolors": "none", "hatch": "...."},
}


class Cost(NamedTuple):
    epochs: int
    full_length_epochs: int
    """Epochs of the same trials without early stopping and failures; a running trial counts its epochs so far."""
    worker_hours: float
    busy_share: float | None
    """Share of the lanes' time, from the first start to the last end, in which a trial ran; None before a trial has
    ended."""


def lanes(records: Sequence[TrialRecord]) -> list[tuple[int, TrialRecord]]:
    """Assigns each trial to the first free lane; there are as many lanes as trials that ran at the same time.

    A trial that still runs ends at the last known event.
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
    """One bar per trial on its lane; filled: completed, empty: stopped, crossed: failed, dotted: running."""
    placed, now_s = lanes(records), _last_s(records)
    start_s = min(record.began_s for record in records)
    unit, seconds = ("h", 3600.0) if now_s - start_s > 7200 else ("min", 60.0)
    num_lanes = 1 + max(lane for lane, _ in placed)
    figure, axes = one_axes(f"{unit} since the first trial began", "lane", (7.6, min(8.0, 1.5 + 0.32 * num_lanes)))
    crowded = len(placed) > MAX_VECTOR_MARKS
    for state, style in _BARS.items():
        # One collection per state and lane keeps the picture of a large study small.
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
                **style,  # type: ignore[arg-type]
            )
    axes.set(ylim=(0.4, num_lanes + 0.8))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8)
    return figure


def cost(spec: SearchSpec, records: Sequence[TrialRecord], epochs: int) -> Cost:
    """Cost of trials of all kinds. A trial's time runs from its start to its end and includes interruptions."""
    ended = [record for record in records if record.ended_s is not None]
    seconds = sum(map(_seconds, ended))
    span_s = _last_s(ended) - min(record.began_s for record in ended) if ended else 0.0
    num_lanes = 1 + max(lane for lane, _ in lanes(ended)) if ended else 1
    return Cost(
        sum(record.epoch for record in records),
        sum(record.epoch if record.state == "running" else epochs for record in records),
        sum(_seconds(record) * _mean_workers(record, spec) for record in ended) / 3600,
        min(1.0, seconds / (span_s * num_lanes)) if span_s > 0 else None,
    )


def _seconds(record: TrialRecord) -> float:
    return (record.ended_s or 0) - record.began_s


def _mean_workers(record: TrialRecord, spec: SearchSpec) -> float:
    """Mean over the epochs: the number of workers of a finalist may change while it trains."""
    counts = [row["num_workers"] for row in record.history if "num_workers" in row]
    return sum(counts) / len(counts) if counts else spec.resources.workers_per_trial


def _last_s(records: Sequence[TrialRecord]) -> float:
    return max(time for record in records for time in (record.began_s, record.ended_s) if time is not None)
