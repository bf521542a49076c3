"""Turns a failed check into a message: file, line, field, what was received, what is allowed."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from search_spaces.errors import BrokenRulesError, abbreviated
from search_spaces.trial_keys import TRIAL_SECTIONS

Path = tuple[str | int, ...]

_KINDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "bool_type": "true | false",
}


def render(error: ValidationError, model: type[BaseModel], places: Mapping[Path, str], source: str) -> str:
    """Every problem in one message, in the order of the file. `places` maps a key to its line or override."""
    found = error.errors()
    # pydantic also reports a list with wrong items as too short, because it counts the good items only.
    found = [e for e in found if e["type"] != "too_short" or not any(_inside(f["loc"], e["loc"]) for f in found)]
    problems = [problem for details in found for problem in _problems(details, model)]
    lines = [(_place(path, places), f"{_dotted(path)}: {message}" if path else message) for path, message in problems]
    lines.sort(key=lambda line: int(line[0][5:]) if line[0].startswith("line ") else 0)
    if len(lines) == 1:
        where, message = lines[0]
        where = f":{where[5:]}" if where.startswith("line ") else f" ({where})" if where else ""
        return f"{source}{where}: {message}" + ("" if message.endswith("?") else ".")
    listed = "\n".join(f"  {where + ': ' if where else ''}{message}" for where, message in lines)
    return f"{source}: {len(lines)} problems:\n{listed}"


def unknown_key(path: Path, model: type[BaseModel]) -> str:
    """The message for an unknown key: names the nearest valid key."""
    *above, key = path
    names = list(_model_at(model, tuple(above)).model_fields)
    if near := difflib.get_close_matches(str(key), names, n=1):
        return f"unknown; did you mean '{near[0]}'?"
    elsewhere = [name for name in _dotted_names(model) if name.rsplit(".", 1)[-1] == key]
    if not above and key in TRIAL_SECTIONS:
        elsewhere = [f"trial.{key}"]
    if elsewhere:
        return f"unknown; did you mean '{elsewhere[0]}'?"
    return f"unknown; allowed: {', '.join(names)}"


def _problems(details: Any, model: type[BaseModel]) -> Iterator[tuple[Path, str]]:
    path, kind, context = details["loc"], details["type"], details.get("ctx", {})
    broken = context.get("error")
    if isinstance(broken, BrokenRulesError):
        yield from broken.problems
    elif kind == "extra_forbidden":
        yield path, unknown_key(path, model)
    elif kind == "missing":
        yield path, "is missing; add it"
    elif kind == "value_error":
        yield path, str(broken)
    else:
        yield path, f"is {abbreviated(details['input'])}; allowed: {_allowed(kind, context, details['msg'])}"


def _allowed(kind: str, context: Mapping[str, Any], otherwise: str) -> str:
    if kind in _KINDS:
        return _KINDS[kind]
    match kind:
        case "literal_error":
            return str(context["expected"]).replace("'", "").replace(" or ", " | ").replace(", ", " | ")
        case "greater_than_equal":
            return f"at least {context['ge']}"
        case "less_than_equal":
            return f"at most {context['le']}"
        case "string_pattern_mismatch":
            return "a name such as val_error_pct or l1/interp_centered_pct: small letters, digits, _"
        case "too_short":
            return f"at least {context['min_length']}"
        case "too_long":
            return f"at most {context['max_length']}"
    return otherwise


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel]:
    """The section at a path; skips positions in lists."""
    for part in path:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        model = next(kind for kind in (annotation, *get_args(annotation)) if _is_model(kind))
    return model


def _dotted_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        if _is_model(field.annotation):
            yield from _dotted_names(field.annotation, f"{prefix}{name}.")  # type: ignore[arg-type]


def _inside(path: Path, outer: Path) -> bool:
    return len(path) > len(outer) and path[: len(outer)] == outer


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _place(path: Path, places: Mapping[Path, str]) -> str:
    for length in range(len(path), 0, -1):
        if path[:length] in places:
            return places[path[:length]]
    return ""


def _dotted(path: Path) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
