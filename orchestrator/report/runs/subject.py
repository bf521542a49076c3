"""What the report goes into: the best finalist over its seeds, or the best trial of the search where none finished."""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.finalists.selection import best_finalist
from orchestrator.planning.trials import resolve_trial
from orchestrator.status.summary import finalist_rows
from orchestrator.study.journal import TrialRecord
from orchestrator.study.ranking import best_trials
from orchestrator.study.study import StudyView
from trainables.config.trial import TrialConfig


@dataclass(frozen=True)
class Subject:
    trial: str
    """The trial whose values these are."""
    config: TrialConfig
    mean: Mapping[str, float]
    std: Mapping[str, float | None]
    num_seeds: int
    """Seeds it was retrained with in full; 0 for a single run of the search or of `aib train`."""
    shown: TrialRecord
    """The run whose curves and maps are shown; of a finalist its best seed."""


def find_subject(view: StudyView) -> Subject | None:
    """None where nothing has run to its end within the constraints."""
    return _best_of(view, list(view.state.trials.values()))


def find_subjects(view: StudyView) -> list[Subject]:
    """The best of every model on every data set of the study, in the order in which trials name them."""
    base = resolve_trial(view.spec, {})
    groups: dict[tuple[str, str], list[TrialRecord]] = {}
    for record in view.state.trials.values():
        given = record.params
        key = (given.get("model.name", base.model.name), given.get("data.name", base.data.name))
        groups.setdefault(key, []).append(record)
    return [subject for group in groups.values() if (subject := _best_of(view, group)) is not None]


def _best_of(view: StudyView, records: list[TrialRecord]) -> Subject | None:
    def of_kind(kind: str) -> list[TrialRecord]:
        return [record for record in records if record.kind == kind]

    seeds = best_finalist(view.spec, of_kind("finalist"))
    if seeds:
        (row,) = finalist_rows(seeds)
        return Subject(row["of"], _config(view, seeds[0]), row["mean"], row["std"], len(seeds), seeds[0])
    fixed = [record for record in of_kind("train") if record.state == "completed"]
    ordered = [*best_trials(view.spec, of_kind("search")), *fixed]
    if not ordered:
        return None
    best, outcome = ordered[0], ordered[0].outcome
    return Subject(best.trial, _config(view, best), outcome, dict.fromkeys(outcome), 0, best)


def _config(view: StudyView, record: TrialRecord) -> TrialConfig:
    return resolve_trial(view.spec, record.params).override({"seed": record.seed})
