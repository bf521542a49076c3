"""Checks one event of a journal that is read: a file that another program wrote or changed must not pass for ours."""

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

KINDS = ("search", "finalist", "train")
ENDINGS = ("completed", "stopped", "failed")
_RANKED_BY = ("val_error_pct", "val_nll")
"""Metrics that every epoch has: they choose the weights that are kept."""
_TEXT, _OBJECT, _TEXT_OR_NULL = (str,), (dict,), (str, type(None))
_FIELDS: dict[str, dict[str, tuple[type, ...]]] = {
    "trial": {"trial": _TEXT, "kind": _TEXT, "params": _OBJECT, "seed": (int,), "of": _TEXT_OR_NULL},
    "epoch": {"trial": _TEXT, "metrics": _OBJECT},
    "ended": {"trial": _TEXT, "state": _TEXT, "reason": _TEXT},
    "recorded": {"trial": _TEXT},
    "stage": {"stage": _TEXT},
    "gate": {"decision": _OBJECT},
    "registered": {"version": _OBJECT},
    "mlflow": {"record": _OBJECT},
    "report": {"path": _TEXT},
}
_PARTS: dict[str, dict[str, tuple[type, ...]]] = {
    "decision": {"promote": (bool,), "reasons": (list,)},
    "version": {"name": _TEXT, "version": (str, int), "alias": _TEXT_OR_NULL},
    "record": {"tracking_uri": _TEXT, "experiment_id": _TEXT, "run_id": _TEXT_OR_NULL},
}
"""Fields that are objects, with what these must have."""
_REASON: dict[str, tuple[type, ...]] = {"rule": _TEXT, "passed": (bool,), "text": _TEXT}


def check_event(event: Any) -> Mapping[str, Any]:
    """Returns the event; raises ValueError, which says what is wrong, unless it has its kind's fields.

    An event of an unknown kind passes: a later version may have written it.
    """
    _check("event", event, {"event": _TEXT, "time": (int, float)})
    if not math.isfinite(event["time"]):
        raise ValueError(f"its time is {event['time']}")
    kind = event["event"]
    _check(kind, event, _FIELDS.get(kind, {}))
    for part in _PARTS.keys() & _FIELDS.get(kind, {}).keys():
        _check(part, event[part], _PARTS[part])
    if kind == "trial" and event["kind"] not in KINDS:
        raise ValueError(f"a trial's kind is {event['kind'][:80]!r}, not one of {', '.join(KINDS)}")
    if kind == "ended" and event["state"] not in ENDINGS:
        raise ValueError(f"a trial's state is {event['state'][:80]!r}, not one of {', '.join(ENDINGS)}")
    if kind == "epoch":
        _check_metrics(event["metrics"])
    if kind == "gate":
        for reason in event["decision"]["reasons"]:
            _check("reason", reason, _REASON)
    if kind == "mlflow":
        # Raises ValueError itself.
        urlsplit(event["record"]["tracking_uri"])
    checked: Mapping[str, Any] = event
    return checked


def _check(what: str, value: Any, fields: Mapping[str, tuple[type, ...]]) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"the {what[:80]} is no object")
    for name, kinds in fields.items():
        if name not in value:
            raise ValueError(f"the {what} has no '{name}'")
        # A boolean is no number, although Python says so.
        if type(value[name]) not in kinds:
            raise ValueError(f"'{name}' of the {what} is {str(value[name])[:80]!r}")


def _check_metrics(metrics: Mapping[str, Any]) -> None:
    for name, value in metrics.items():
        if type(value) is not float and (type(value) is not int or abs(value) > 2**63):
            raise ValueError(f"the metric '{name[:80]}' is {str(value)[:80]!r}")
    epoch = metrics.get("epoch", math.nan)
    if not (math.isfinite(epoch) and epoch >= 1 and epoch == int(epoch)):
        raise ValueError(f"an epoch's number is {epoch}")
    if missing := [name for name in _RANKED_BY if name not in metrics]:
        raise ValueError(f"epoch {int(epoch)} has no '{missing[0]}'")
