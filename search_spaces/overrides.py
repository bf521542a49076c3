"""Applies `--set key=value` options to a specification, in their order, before it is checked."""

import copy
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from search_spaces.errors import SpecError
from search_spaces.reader import MAX_KEY, KeyPath, read_text
from search_spaces.sections import expand_name
from search_spaces.trial_keys import SHORT, TRIAL_SECTIONS, flat_keys


def parse_override(text: str) -> tuple[str, Any]:
    """Splits one `key=value` into dotted key and value; the value is YAML and read as strictly as the file."""
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise SpecError(f"--set {text[:80]!r}: is not key=value; write for example --set trials=8.")
    if len(key) > MAX_KEY:
        raise SpecError(f"--set {key[:80]}...: the key has more than {MAX_KEY} characters.")
    if not value.strip():
        raise SpecError(f"--set {key}: has no value; write null for none.")
    return key, read_text(value, f"--set {key}").value


def apply_overrides(
    spec: Mapping[str, Any],
    overrides: Sequence[str],
    source: str,
    fields: Sequence[str],
    places: Mapping[KeyPath, str],
) -> tuple[dict[str, Any], dict[KeyPath, str]]:
    """Returns the changed specification and the origin of each key: its line in the file, or an override.

    `fields` are the specification's own keys. A key that starts with a section of the trial is short for the same key
    under `trial.`. An override of a trial field fixes it: the field leaves the space and the first points.
    """
    changed: dict[str, Any] = copy.deepcopy(dict(spec))
    found = dict(places)
    for text in overrides:
        key, value = parse_override(text)
        head, _, rest = key.partition(".")
        if head in TRIAL_SECTIONS:
            head, rest = "trial", key
        if head not in fields:
            near = difflib.get_close_matches(head, [*fields, *TRIAL_SECTIONS], n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"allowed: {', '.join([*fields, *TRIAL_SECTIONS])}."
            raise SpecError(f"--set {key}: unknown key '{head}'; {hint}")
        if head == "trial":
            paths = _set_trial(changed, {rest: value} if rest else value, key, source)
        elif head == "space" and rest:
            paths = [_set_space(changed, SHORT.get(rest, rest), value, source)]
        else:
            paths = [_set_field(changed, key, value)]
        for path in paths:
            # The new value replaces everything below the key, so the former places below it go too.
            found = {place: where for place, where in found.items() if place[: len(path)] != path}
            found[path] = f"--set {key}"
    return changed, found


def _set_trial(spec: dict[str, Any], given: Any, key: str, source: str) -> list[KeyPath]:
    fixed = _flat(given, f"--set {key}")
    spec["trial"] = {**_flat(spec.get("trial", {}), f"{source}: trial"), **fixed}
    if isinstance(spec.get("space"), Mapping):
        spec["space"] = {name: how for name, how in spec["space"].items() if SHORT.get(name, name) not in fixed}
    if isinstance(spec.get("first"), list):
        points = [
            {name: value for name, value in _flat(point, f"{source}: first[{place}]").items() if name not in fixed}
            for place, point in enumerate(spec["first"])
        ]
        # Points that differed only in the fixed fields are now the same point.
        spec["first"] = [point for place, point in enumerate(points) if point and point not in points[:place]]
    return [("trial", name) for name in fixed]


def _set_space(spec: dict[str, Any], key: str, value: Any, source: str) -> KeyPath:
    space = spec.get("space", {})
    if not isinstance(space, Mapping):
        raise SpecError(
            f"{source}: space: is not a mapping; allowed: dotted keys of the trial, each with how it varies."
        )
    spec["space"] = {**{name: how for name, how in space.items() if SHORT.get(name, name) != key}, key: value}
    return ("space", key)


def _set_field(spec: dict[str, Any], key: str, value: Any) -> KeyPath:
    *above, last = key.split(".")
    node = spec
    for depth, part in enumerate(above):
        inner = expand_name(node.get(part, {}))
        if not isinstance(inner, dict):
            raise SpecError(f"--set {key}: '{'.'.join(above[: depth + 1])}' has no keys; set it as a whole.")
        node[part] = inner
        node = inner
    node[last] = value
    return (*above, last)


def _flat(given: Any, where: str) -> dict[str, Any]:
    try:
        return flat_keys(given)
    except ValueError as error:
        raise SpecError(f"{where}: {error}.") from None
