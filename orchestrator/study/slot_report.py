"""What a running study's driver says of its slots, in the study's folder: which wait for room, and who has the room."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from trainables.runtime.atomic_file import replace_file


class Holder(NamedTuple):
    """Another study that has slots on the cluster."""

    study: str
    owner: str
    slots: int


@dataclass(frozen=True, kw_only=True)
class SlotReport:
    """The slots of a study at one moment."""

    serving: int = 0
    """Slots with workers."""
    starting: int = 0
    """Slots whose workers start."""
    waiting: int = 0
    """Slots without room for their workers."""
    waits_for: str = ""
    """What a waiting slot needs, beside what is free."""
    held_by: tuple[Holder, ...] = ()
    """Who has the room that it waits for."""

    @property
    def news(self) -> tuple[int, tuple[str, ...]]:
        """What is worth another line of a log: how many slots wait, and for which studies."""
        return self.waiting, tuple(holder.study for holder in self.held_by)

    @property
    def text(self) -> str:
        """One line for people; empty while no slot waits."""
        if not self.waiting:
            return ""
        total = self.serving + self.starting + self.waiting
        line = f"waiting for room: {self.waiting} of {total} trial slots have no workers yet: {self.waits_for}"
        holders = [
            f"study {one.study} of {one.owner} has {one.slots} slot{'s' * (one.slots != 1)}" for one in self.held_by
        ]
        return f"{line}; {', '.join(holders)}" if holders else line

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "held_by": [holder._asdict() for holder in self.held_by]}


def write_slot_report(path: Path, report: SlotReport) -> None:
    """Replaces the file, readable by its owner alone."""
    replace_file(path, json.dumps(report.to_json()), aside=path.with_suffix(".tmp"), mode=0o600)


def read_slot_report(path: Path) -> SlotReport | None:
    """The last report; None if there is none, or if it is not one of this version."""
    try:
        stored: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return SlotReport(**{**stored, "held_by": tuple(Holder(**holder) for holder in stored["held_by"])})
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        # It only informs: a study without it is read as before.
        return None
