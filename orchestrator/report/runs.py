"""Which runs a report shows: a study's best per model and data set, and the one that stands for a model in a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.finalists.selection import best_finalist
from orchestrator.planning.trials import resolve_trial
from orchestrator.report.source import Stored, StudySource
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


@dataclass(frozen=True)
class Seen:
    """One model's best run with what its checkpoint keeps."""

    subject: Subject
    stored: Stored
    source: StudySource

    @property
    def model(self) -> str:
        return self.subject.config.model.name


def seen(source: StudySource, subjects: Sequence[Subject]) -> list[Seen]:
    found = ((subject, source.stored(subject.shown.trial)) for subject in subjects)
    return [Seen(subject, stored, source) for subject, stored in found if stored is not None]


Chosen = dict[tuple[str, str], tuple[str, Subject]]
"""By model and data set: the study's name and its subject."""


def most_thorough(subjects: Sequence[tuple[str, Subject]]) -> Chosen:
    """By model and data set the one that was trained longest, on most images, over most seeds; then the better one."""

    def rank(item: tuple[str, Subject]) -> tuple[float, ...]:
        subject = item[1]
        images = subject.config.data.train_images
        full = float("inf") if images is None else float(images)
        error = subject.mean.get("final_val_error_pct", float("inf"))
        return subject.config.model.width, subject.config.epochs, full, subject.num_seeds, -error

    chosen: Chosen = {}
    for item in subjects:
        key = (item[1].config.model.name, item[1].config.data.name)
        if key not in chosen or rank(item) > rank(chosen[key]):
            chosen[key] = item
    return chosen
