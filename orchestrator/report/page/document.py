"""The blocks of a report as plain values: text, facts, tables, commands and pictures in sections.

`page.html` and `page.markdown` both render these values, so the two outputs have the same content. All text is raw;
the renderers escape it.
"""

from dataclasses import dataclass
from typing import Literal

MISSING = "–"
"""The cell of an unknown number."""


@dataclass(frozen=True)
class Text:
    text: str
    role: Literal["plain", "note", "warning"] = "plain"


@dataclass(frozen=True)
class Listing:
    items: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """Names with their values, in this order."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Command:
    """A shell command that the reader can copy."""

    text: str


@dataclass(frozen=True)
class Row:
    """One row of a table; the first cell is the row's heading. A cell can have several lines."""

    cells: tuple[str, ...]
    faint: bool = False
    """Shown in grey: cannot be compared with the other rows."""


@dataclass(frozen=True)
class Table:
    id: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    text_columns: frozenset[str] = frozenset()
    """Left-aligned columns of names; all other columns except the first hold numbers."""
    prose_columns: frozenset[str] = frozenset()
    """Left-aligned, wrapped columns of sentences."""


@dataclass(frozen=True)
class Picture:
    id: str
    caption: str
    alt: str
    """Describes the picture for readers who cannot see it."""
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
    """The section's study, if the page reports several studies."""

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
    """A number with fixed digits; MISSING for None."""
    return MISSING if value is None else f"{value:.{digits}f}"


def signed(difference: float, digits: int = 2) -> str:
    """A difference with its sign; a difference that rounds to zero is +0, never -0."""
    return f"{round(difference, digits) + 0.0:+.{digits}f}"


def spread(mean: float | None, std: float | None, digits: int = 2) -> str:
    """Mean ± standard deviation; only the mean for a single value, which has no spread."""
    return number(mean, digits) if std is None else f"{number(mean, digits)} ± {std:.{digits}f}"
