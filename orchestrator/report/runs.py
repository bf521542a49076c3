"""Chooses the runs that a report shows: the best run of each model on each data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.finalists.selection import best_finalist
from orchestrator.planning.trials import resolve_trial
from orchestrator.report.source import CheckpointContents, StudySource
from orchestrator.status.summary import finalist_rows
from orchestrator.study.journal import TrialRecord
from orchestrator.study.ranking import best_trials
from orchestrator.study.study import StudyView
from trainables.config.trial import TrialConfig


@dataclass(frozen=True)
class ShownRun:
    """A best run: a finalist averaged over its seeds, or else a single full-length trial."""

    trial: str
    """The trial whose parameters these are; for a finalist, its trial in the search."""
    config: TrialConfig
    mean: Mapping[str, float]
    """Metric -> mean over seeds; the value itself for a single trial."""
    std: Mapping[str, float | None]
    num_seeds: int
    """Seeds of the finalist; 0 for a single trial of a search or of `aib train`."""
    record: TrialRecord
    """The trial whose curves and maps the report draws; for a finalist, its best seed."""


def choose_run(view: StudyView) -> ShownRun | None:
    """The study's best run; None if no trial has completed within the constraints."""
    return _best_of(view, list(view.state.trials.values()))


def choose_runs(view: StudyView) -> list[ShownRun]:
    """The best run of each model on each data set, in the order in which the trials first use them."""
    base = resolve_trial(view.spec, {})
    groups: dict[tuple[str, str], list[TrialRecord]] = {}
    for record in view.state.trials.values():
        params = record.params
        key = (params.get("model.name", base.model.name), params.get("data.name", base.data.name))
        groups.setdefault(key, []).append(record)
    return [run for group in groups.values() if (run := _best_of(view, group)) is not None]


def _best_of(view: StudyView, records: list[TrialRecord]) -> ShownRun | None:
    def of_kind(kind: str) -> list[TrialRecord]:
        return [record for record in records if record.kind == kind]

    seeds = best_finalist(view.spec, of_kind("finalist"))
    if seeds:
        (row,) = finalist_rows(seeds)
        return ShownRun(row["of"], _config(view, seeds[0]), row["mean"], row["std"], len(seeds), seeds[0])
    single = [record for record in of_kind("train") if record.state == "completed"]
    ordered = [*best_trials(view.spec, of_kind("search")), *single]
    if not ordered:
        return None
    best, outcome = ordered[0], ordered[0].outcome
    return ShownRun(best.trial, _config(view, best), outcome, dict.fromkeys(outcome), 0, best)


def _config(view: StudyView, record: TrialRecord) -> TrialConfig:
    return resolve_trial(view.spec, record.params).override({"seed": record.seed})


@dataclass(frozen=True)
class StoredRun:
    """A shown run whose checkpoint could be read."""

    shown: ShownRun
    checkpoint: CheckpointContents
    source: StudySource

    @property
    def model(self) -> str:
        return self.shown.config.model.name


def with_checkpoints(source: StudySource, runs: Sequence[ShownRun]) -> list[StoredRun]:
    """The runs that have a readable checkpoint, with its contents."""
    found = ((run, source.checkpoint(run.record.trial)) for run in runs)
    return [StoredRun(run, checkpoint, source) for run, checkpoint in found if checkpoint is not None]


RunsByModel = dict[tuple[str, str], tuple[str, ShownRun]]
"""(model, data set) -> (name of the study, run)."""


def largest_budget(runs: Sequence[tuple[str, ShownRun]]) -> RunsByModel:
    """For each model and data set, the run with the largest budget.

    Compares width, epochs, training images and seeds, in this order; then the lower validation error wins.
    """

    def rank(item: tuple[str, ShownRun]) -> tuple[float, ...]:
        run = item[1]
        images = run.config.data.train_images
        num_images = float("inf") if images is None else float(images)
        error = run.mean.get("final_val_error_pct", float("inf"))
        return run.config.model.width, run.config.epochs, num_images, run.num_seeds, -error

    chosen: RunsByModel = {}
    for item in runs:
        key = (item[1].config.model.name, item[1].config.data.name)
        if key not in chosen or rank(item) > rank(chosen[key]):
            chosen[key] = item
    return chosen
