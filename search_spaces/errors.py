"""Errors of a search specification."""

from collections.abc import Sequence
from typing import Any

Problem = tuple[tuple[str | int, ...], str]
"""A place in the specification, and what is wrong there."""


class SpecError(ValueError):
    """An invalid search specification. Its one string says the file, the place, what is wrong and what is allowed."""


class BrokenRulesError(ValueError):
    """One or more problems, each with its place."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(message for _, message in problems))
        self.problems = tuple(problems)


def abbreviated(value: Any) -> str:
    """A received value for a message, cut to 80 characters."""
    text = "null" if value is None else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
