"""A report as plain values: sections of text, facts, tables, commands and pictures.

What stands in a report is decided once, here; `page` and `markdown` only write it down, so the two cannot disagree.
All text is raw: whoever writes it down escapes it.
"""

from dataclasses import dataclass
from typing import Literal

MISSING = "–"
"""Stands where a number is not known."""


@dataclass(frozen=True)
class Text:
    text: str
    role: Literal["plain", "note", "warning"] = "plain"


@dataclass(frozen=True)
class Listing:
    items: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """Names with their values, in order."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Command:
    """Something to copy into a terminal."""

    text: str


@dataclass(frozen=True)
class Row:
    """One row of a table; the first cell is its heading. A cell may have several lines."""

    cells: tuple[str, ...]
    faint: bool = False
    """Shown greyed: not to be compared with the others."""


@dataclass(frozen=True)
class Table:
    id: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    text_columns: frozenset[str] = frozenset()
    """Columns of names, set to the left; the rest, except the first, hold numbers."""
    prose_columns: frozenset[str] = frozenset()
    """Columns of sentences, set to the left and wrapped."""


@dataclass(frozen=True)
class Picture:
    id: str
    caption: str
    alt: str
    """What the picture shows, for whoever does not see it."""
    mime: Literal["image/svg+xml", "image/png"]
    data: bytes
    width_px: int
    height_px: int


Block = Text | Listing | Facts | Command | Table | Picture


@dataclass(frozen=True)
class Section:
    id: str
    title: str
    blocks: tuple[Block, ...]
    group: str = ""
    """The study that the section belongs to, where a page holds several."""

    @property
    def heading(self) -> str:
        return f"{self.group}: {self.title}" if self.group else self.title


@dataclass(frozen=True)
class Report:
    title: str
    lead: str
    """The outcome in one sentence."""
    sections: tuple[Section, ...]


def number(value: float | None, digits: int = 2) -> str:
    """A number with fixed digits, MISSING where there is none."""
    return MISSING if value is None else f"{value:.{digits}f}"


def signed(difference: float, digits: int = 2) -> str:
    """A difference with its sign; what rounds to nothing is +0, never -0."""
    return f"{round(difference, digits) + 0.0:+.{digits}f}"


def spread(mean: float | None, std: float | None, digits: int = 2) -> str:
    """Mean ± standard deviation; a single value stands alone, since it has no spread to tell."""
    return number(mean, digits) if std is None else f"{number(mean, digits)} ± {std:.{digits}f}"
