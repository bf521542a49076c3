"""Errors of a search specification, and how their messages show a value."""

from collections.abc import Sequence
from typing import Any

Problem = tuple[tuple[str | int, ...], str]
"""Where in the specification, and what is wrong there."""


class SpecError(ValueError):
    """A search specification that cannot be used. Carries one string: file, place, what is wrong, what is allowed."""


class BrokenRulesError(ValueError):
    """Several problems, each with the place it belongs to."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(message for _, message in problems))
        self.problems = tuple(problems)


def abbreviated(value: Any) -> str:
    """A value as it was received, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
