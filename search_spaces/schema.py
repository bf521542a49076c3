"""The specification of a search as a value: what to vary, what to optimise, how, and with which resources.

`load_spec` reads one from YAML; `to_dict` and `from_dict` store it and read it back. The fields of the trial itself
belong to `trainables` and are checked where the search is planned.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import (
    ValidationError,
    model_validator,
)

from search_spaces.distributions import distribution
from search_spaces.error_messages import render
from search_spaces.errors import SpecError
from search_spaces.fields import SpecFields
from search_spaces.json_schema import (
    complete_schema,
)
from search_spaces.names import check_name
from search_spaces.overrides import apply_overrides
from search_spaces.reader import KeyPath, read_file
from search_spaces.section_rules import check_rules, grid_size
from search_spaces.sections import (
    complete_scheduler,
    expand_name,
)


class SearchSpec(SpecFields):
    """One search, complete: defaults are filled in, so that equal searches are equal values."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        """Fills in defaults that depend on other sections; leaves malformed values, which the sections refuse later."""
        if not isinstance(given, Mapping):
            return given
        filled = dict(given)
        scheduler, objectives = (
            filled.get("scheduler", {}),
            filled.get("objectives", cls.model_fields["objectives"].default),
        )
        filled["scheduler"] = complete_scheduler(scheduler, objectives)
        sampler = expand_name(filled.get("sampler"))
        is_grid = (
            sampler.get("name") == "grid" if isinstance(sampler, Mapping) else getattr(sampler, "name", "") == "grid"
        )
        if "trials" not in filled and is_grid:
            filled["trials"] = _whole_grid(filled.get("space"))
        filled.setdefault("registered_model", _valid_name(filled.get("name")))
        return filled

    @model_validator(mode="after")
    def _rules(self) -> "SearchSpec":
        check_rules(self)
        for point in self.first:
            # The value in the sampler's form: 64, not 64.0; the exact power of ten, not a float next to it.
            point.update({key: self.space[key].canonical(value) for key, value in point.items()})
        return self

    def to_dict(self) -> dict[str, Any]:
        """Every field, defaults included, ready for JSON; `from_dict` reads it back as an equal value."""
        stored: dict[str, Any] = self.model_dump(mode="json")
        return stored

    @staticmethod
    def from_dict(given: Mapping[str, Any], source: str = "search specification") -> "SearchSpec":
        """Builds a search from plain values; a SpecError lists every problem and starts with `source`."""
        return _validated(given, {}, source)


def load_spec(path: str | Path | None, overrides: Sequence[str] = ()) -> SearchSpec:
    """Reads a search from YAML and applies `key=value` overrides in order.

    Without a path: a single trial named `train` that the overrides describe. Raises SpecError with one message that
    names the file and every wrong field.
    """
    if path is None:
        source, value, places = "--set", {"name": "train", "trial": {}, "space": {}, "trials": 1}, {}
    else:
        document = read_file(path)
        source, value = str(path), document.value
        places = {place: f"line {line}" for place, line in document.lines.items()}
    if not isinstance(value, Mapping):
        raise SpecError(f"{source}: is not a mapping; a search begins with name:, trial:, space: and trials:.")
    value, places = apply_overrides(value, overrides, source, tuple(SearchSpec.model_fields), places)
    return _validated(value, places, source)


def json_schema_text() -> str:
    """The JSON Schema that editors and other programs check a specification with (`search.schema.json`)."""
    return json.dumps(complete_schema(SearchSpec.model_json_schema()), indent=2, ensure_ascii=False) + "\n"


def _validated(value: Mapping[str, Any], places: Mapping[KeyPath, str], source: str) -> SearchSpec:
    try:
        return SearchSpec.model_validate(value)
    except ValidationError as error:
        raise SpecError(render(error, SearchSpec, places, source)) from None


def _valid_name(name: Any) -> str:
    """The name; one that is allowed where this one will be refused anyway, so that it is reported once."""
    try:
        return check_name(name)
    except (ValueError, TypeError):
        return "unnamed"


def _whole_grid(space: Any) -> int:
    """Points of the grid; 1 for an invalid space, so that only the space is reported, not `trials` too."""
    try:
        size = grid_size({key: distribution(varied) for key, varied in space.items()})
    except (ValueError, AttributeError):
        return 1
    return 1 if size is None else size
