"""Names and values of trial parameters as the report writes them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.report.page.document import MISSING
from orchestrator.study.journal import TrialRecord


def param_names(records: Iterable[TrialRecord]) -> list[str]:
    """The dotted keys that the trials vary, in the order of first use."""
    return list(dict.fromkeys(name for record in records for name in record.params))


def short_names(names: Sequence[str]) -> list[str]:
    """The last part of each dotted key; the whole key if two keys have the same last part."""
    leaves = [name.rsplit(".", 1)[-1] for name in names]
    return [name if leaves.count(leaf) > 1 else leaf for name, leaf in zip(names, leaves, strict=True)]


def params_text(params: Mapping[str, Any]) -> str:
    """All parameters in one line."""
    named = zip(short_names(list(params)), params.values(), strict=True)
    return ", ".join(f"{name} = {value_text(value)}" for name, value in named) or MISSING


def value_text(value: object) -> str:
    """One value; numbers with four significant digits."""
    return "null" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
