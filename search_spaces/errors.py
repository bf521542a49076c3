"""The one error of a search specification, and how its messages show a value."""

from typing import Any


class SpecError(ValueError):
    """A search specification that cannot be used. Carries one string: file, place, what is wrong, what is allowed."""


def shown(value: Any) -> str:
    """A value as it was received, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
