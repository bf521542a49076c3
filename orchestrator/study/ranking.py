"""Ranks trials by their recorded outcomes; pure functions.

Only trials that ran to their last epoch and meet every constraint are compared. So a run that was stopped early, or
whose attention map collapsed, cannot win with an easier score.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

from orchestrator.study.journal import TrialRecord
from search_spaces.schema import SearchSpec


def violations(spec: SearchSpec, outcome: Mapping[str, float]) -> dict[str, float]:
    """Returns each constraint's text with its violation: at most 0 where it holds, inf without the metric."""
    found: dict[str, float] = {}
    for rule in spec.constraints:
        value = outcome.get(rule.metric, math.nan)
        below = -math.inf if rule.at_least is None else rule.at_least - value
        above = -math.inf if rule.at_most is None else value - rule.at_most
        found[rule.text] = math.inf if math.isnan(value) else max(below, above)
    return found


def comparable(spec: SearchSpec, records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Returns the trials of full length with every objective known and every constraint met, without finalists."""
    return [
        record
        for record in records
        if record.kind != "finalist"
        and record.state == "completed"
        and all(math.isfinite(record.outcome.get(o.metric, math.nan)) for o in spec.objectives)
        and all(excess <= 0 for excess in violations(spec, record.outcome).values())
    ]


def pareto_front(spec: SearchSpec, records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Returns the comparable trials that no other trial dominates, ordered by the first objective."""
    return next(_fronts(spec, records), [])


def best_trials(spec: SearchSpec, records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Returns the comparable trials, best first: the Pareto front, then the front of the rest, and so on."""
    return [record for front in _fronts(spec, records) for record in front]


def _fronts(spec: SearchSpec, records: Sequence[TrialRecord]) -> Iterator[list[TrialRecord]]:
    """Yields the Pareto fronts, best first; equal points share a front.

    Sorted by losses, no later point can dominate an earlier one, so each point is compared with the present front only.
    """
    scored = [(_losses(spec, record), record) for record in comparable(spec, records)]
    remaining = sorted(scored, key=lambda item: (item[0], item[1].trial))
    while remaining:
        front: list[tuple[tuple[float, ...], TrialRecord]] = []
        beaten: list[tuple[tuple[float, ...], TrialRecord]] = []
        for losses, record in remaining:
            (beaten if any(_dominates(other, losses) for other, _ in front) else front).append((losses, record))
        yield [record for _, record in front]
        remaining = beaten


def _losses(spec: SearchSpec, record: TrialRecord) -> tuple[float, ...]:
    return tuple(record.outcome[o.metric] * (1 if o.goal == "minimize" else -1) for o in spec.objectives)


def _dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))
