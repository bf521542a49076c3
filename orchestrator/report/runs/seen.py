"""The best run of each model together with what its checkpoint keeps."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.report.runs.subject import Subject
from orchestrator.report.source import Source, Stored


@dataclass(frozen=True)
class Seen:
    """One model's best run with what its checkpoint keeps."""

    subject: Subject
    stored: Stored
    source: Source

    @property
    def model(self) -> str:
        return self.subject.config.model.name


def seen(source: Source, subjects: Sequence[Subject]) -> list[Seen]:
    found = ((subject, source.stored(subject.shown.trial)) for subject in subjects)
    return [Seen(subject, stored, source) for subject, stored in found if stored is not None]
