"""Parts of the JSON Schema that pydantic cannot generate: distributions, bare sampler names, optional `trials`."""

from typing import Any

_SCALAR = {"type": ["string", "number", "boolean", "null"]}
_BOUNDS = {"type": "array", "minItems": 2, "maxItems": 2}

TRIAL_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Fields of the trial, nested or under dotted keys",
    "additionalProperties": {
        "anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}, {"type": "object"}],
    },
}


def _kind(name: str, values: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: values, **options},
        "required": [name],
        "additionalProperties": False,
    }


_LOG = {"log": {"type": "boolean", "default": False}}
_VALUES = {"type": "array", "minItems": 1, "uniqueItems": True}

DISTRIBUTION_SCHEMA: dict[str, Any] = {
    "oneOf": [
        {"description": "10^-p", **_kind("power_of_ten", {**_VALUES, "items": {"type": "integer"}}, {})},
        {"description": "one of a list", **_kind("choice", {**_VALUES, "items": _SCALAR}, {})},
        {
            "description": "a whole number from low to high",
            **_kind(
                "int",
                {**_BOUNDS, "items": {"type": "integer"}},
                {**_LOG, "step": {"type": "integer", "minimum": 1, "default": 1}},
            ),
        },
        {
            "description": "a number from low to high",
            **_kind("float", {**_BOUNDS, "items": {"type": "number"}}, _LOG),
        },
    ],
}


def complete_schema(generated: dict[str, Any]) -> dict[str, Any]:
    """Adds the short forms `sampler: NAME` and `scheduler: NAME` and the optional fields to the generated schema."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **generated}
    definitions, properties = schema["$defs"], schema["properties"]
    for field in ("sampler", "scheduler"):
        reference = properties[field].pop("$ref")
        words = definitions[reference.rsplit("/", 1)[-1]]["properties"]["name"]["enum"]
        properties[field]["anyOf"] = [{"$ref": reference}, {"enum": words}]
    schema["required"] = [name for name in schema["required"] if name not in ("trials", "registered_model")]
    is_grid = {"anyOf": [{"const": "grid"}, {"properties": {"name": {"const": "grid"}}, "required": ["name"]}]}
    schema["if"] = {"properties": {"sampler": is_grid}, "required": ["sampler"]}
    schema["else"] = {"required": ["trials"]}
    return schema
