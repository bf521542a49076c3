"""All trials of the reported studies as CSV, for a spreadsheet."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.report.parameter_text import param_names
from orchestrator.study.journal import TrialRecord
from trainables.runtime.printable import printable

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes text that begins with one of these for a formula, and may run it."""


def trials_csv(studies: Mapping[str, Sequence[TrialRecord]]) -> str:
    """One line per trial, finalists included: identity, one column `params.KEY` per parameter, one per metric.

    `studies` maps a study's name to its trials. Values have full precision; an unknown value is an empty cell. Text
    that a spreadsheet would take for a formula begins with an apostrophe.
    """
    everything = [record for records in studies.values() for record in records]
    params = param_names(everything)
    metrics = sorted({name for record in everything for name in record.outcome} - {"epoch"})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    identity = ("study", "trial", "kind", "of", "state", "reason", "epoch", "seed")
    writer.writerow([*identity, *(f"params.{name}" for name in params), *metrics])
    for study, records in studies.items():
        for record in records:
            outcome = record.outcome
            known = (record.trial, record.kind, record.of, record.state, record.reason, record.epoch, record.seed)
            values = (record.params.get(name) for name in params)
            row = (study, *known, *values, *(outcome.get(name) for name in metrics))
            writer.writerow(map(_cell, row))
    return text.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return printable(f"'{value}" if value.startswith(_FORMULA) else value)
