"""Checks what `study.json` holds: the study's spec with its signature, and the facts of its start."""

from typing import Any


def checked_facts(stored: Any, name: str) -> dict[str, Any]:
    """Returns the content; raises ValueError, which says what is wrong, for what no study named `name` stores.

    The spec itself is checked where it is read (`study.stored_spec`).
    """
    if not isinstance(stored, dict):
        raise ValueError("it is no JSON object")
    for key, kind, what in (("signature", str, "text"), ("spec", dict, "an object")):
        if key not in stored:
            raise ValueError(f"it has no '{key}'")
        if not isinstance(stored[key], kind):
            raise ValueError(f"its '{key}' is not {what}")
    if stored["spec"].get("name") != name:
        raise ValueError(f"it describes the study {str(stored['spec'].get('name'))[:80]!r}, not '{name}'")
    data, provenance = stored.get("data"), stored.get("provenance")
    if data is not None and not (_texts(data) and {"name", "digest"} <= data.keys()):
        raise ValueError("its 'data' does not hold a name and a digest")
    if provenance is not None and not _texts(provenance):
        raise ValueError("its 'provenance' is not an object of texts")
    if "storage" in stored and not isinstance(stored["storage"], str):
        raise ValueError("its 'storage' is not text")
    return stored


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
