"""Collects what the user should know about a source: what was left out, added or guessed while it was read."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Notes:
    """Notes on a source, in the order in which they were found."""

    _lines: list[str] = field(default_factory=list)
    images: Counter[str] = field(default_factory=Counter)
    """A remark on single images -> the number of images that it holds for."""

    def add(self, line: str) -> None:
        """Adds a note on the source as a whole; a second one with the same words is dropped."""
        if line not in self._lines:
            self._lines.append(line)

    def lines(self) -> list[str]:
        """All notes, one sentence each."""
        counted = ((f"{number:,} image{'' if number == 1 else 's'}", remark) for remark, number in self.images.items())
        return [*self._lines, *(f"{remark}: {number}" for number, remark in counted)]
