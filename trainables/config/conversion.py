"""Converts a given value to the type of its field."""

import sys
import types
import typing
from typing import Any, Literal

REFUSED = object()
"""Result of `convert` for a value that is not allowed."""


def convert(kind: Any, value: Any) -> tuple[Any, str]:
    """Returns the value in its field's type, or REFUSED, and the allowed values in words.

    Never rounds, never parses text.
    """
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return (value if any(value == a and type(value) is type(a) for a in args) else REFUSED), " | ".join(
            map(str, args)
        )
    if origin is types.UnionType:
        if value is None:
            return None, ""
        converted, allowed = convert(args[0], value)
        return converted, f"{allowed}, or null"
    if origin is tuple:
        if isinstance(value, (list, tuple)):
            items = [convert(args[0], item)[0] for item in value]
            return (tuple(items) if REFUSED not in items else REFUSED), f"a list of {_word(args[0])}"
        return REFUSED, f"a list of {_word(args[0])}"
    if kind is bool:
        return (value if isinstance(value, bool) else REFUSED), "true | false"
    if isinstance(value, bool):
        return REFUSED, _word(kind)
    if kind is int:
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return (int(value) if whole else REFUSED), _word(kind)
    if kind is float:
        finite = isinstance(value, (int, float)) and abs(value) <= sys.float_info.max
        return (float(value) if finite else REFUSED), _word(kind)
    return (value if isinstance(value, str) else REFUSED), _word(kind)


def _word(kind: Any) -> str:
    return {int: "a whole number", float: "a finite number", str: "a name"}.get(kind, str(kind))
