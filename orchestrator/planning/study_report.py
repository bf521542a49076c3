"""What a study reports to the other studies of its cluster: who it is, what it has, what it wants."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from orchestrator.planning.fair_share import StudyDemand


@dataclass(frozen=True, kw_only=True)
class StudyReport:
    """One study's report. New fields need a default: reports of earlier versions lack them."""

    study: str
    owner: str
    stage: str
    since_s: float
    """When its driver started, in Unix time."""
    cpus_per_worker: float
    gpus_per_worker: float
    least: int
    """Workers of its smallest slot."""
    step: int
    """Workers by which it grows."""
    wanted: int
    """Workers that have work now."""
    useful: int
    """Workers that it would keep where no study wants the room."""
    priority: int = 0
    share: float = 1.0
    slots: int = 0
    """Slots with workers, also those that it gives back after their trial."""
    workers: int = 0
    """Workers of these slots."""
    starting: int = 0
    """Slots whose workers start."""
    waiting: int = 0
    """Slots without room for their workers."""
    waited_s: float = 0.0
    """How long it has had no slot; 0 while it has one."""
    keeps: bool = False
    """Whether it has a slot that it must not lose, for its last trial and its gate."""

    @staticmethod
    def read(report: Mapping[str, Any]) -> "StudyReport | None":
        """Returns the report of any version: unknown keys are ignored; None where a key is missing or no such value."""
        known = {field.name: field.type for field in fields(StudyReport)}
        kinds: dict[Any, Any] = {str: str, bool: bool, int: int, float: (int, float)}
        values = {name: report[name] for name in known if name in report}
        if not all(isinstance(value, kinds[known[name]]) for name, value in values.items()):
            return None
        try:
            found = StudyReport(**values)
        except TypeError:
            return None
        sizes = (found.cpus_per_worker, found.least, found.step, found.share)
        return found if min(sizes) > 0 and 0 <= found.wanted <= found.useful else None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def demand(self, key: str) -> StudyDemand:
        """Returns what the study wants, under a key that no other study has: names may be equal."""
        return StudyDemand(
            key,
            self.cpus_per_worker,
            self.gpus_per_worker,
            self.least,
            self.step,
            max(self.wanted, self.least) if self.wanted else 0,
            max(self.useful, self.least) if self.wanted else 0,
            self.priority,
            self.share,
            self.since_s,
            self.waited_s,
            self.keeps,
        )
