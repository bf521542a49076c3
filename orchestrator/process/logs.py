"""Logging: text lines for people, or one JSON object per line, with study and trial, for a log collector."""

import io
import json
import logging
import math
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from orchestrator.process.redact import redact
from trainables.runtime.printable import printable

LogFormat = Literal["text", "json"]
OURS = ("aib", "orchestrator", "trainables", "search_spaces")

_bound: dict[str, str] = {}
_structured = False


class JsonLines(logging.Formatter):
    """Formats time, level, logger, message, the `bound` fields and the event's own fields; hides secrets."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_bound,
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        # Standard JSON has neither NaN nor infinity.
        return json.dumps({key: _plain(value) for key, value in line.items()}, default=str)


class LineLog(io.TextIOBase):
    """A stream that logs each line written to it, so that printed text keeps its place among the JSON lines."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger, self._rest = logger, ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in filter(str.strip, lines):
            self._logger.info(line.rstrip())
        return len(text)


def configure(log_format: LogFormat, stream: TextIO | None = None) -> None:
    """Sets up logging for the process. Text shows warnings and errors; JSON shows our own events too, on stderr."""
    global _structured  # noqa: PLW0603 - one process logs in one way
    logging.setLogRecordFactory(_without_secrets)
    _structured = log_format == "json"
    if not _structured:
        return
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    logging.getLogger().handlers = [handler]
    for name in OURS:
        logging.getLogger(name).setLevel(logging.INFO)


def _without_secrets(*arguments: Any, **options: Any) -> logging.LogRecord:
    """Makes the log records of the whole process, libraries included: secrets are hidden in messages and tracebacks."""
    record = logging.LogRecord(*arguments, **options)
    try:
        record.msg, record.args = _shown(record.getMessage()), None
    except (TypeError, ValueError, KeyError):
        # The arguments do not fit the message; the handler reports that with its place in the code.
        return record
    if record.exc_info:
        record.exc_text = _shown("".join(traceback.format_exception(*record.exc_info)).rstrip())
    return record


def _shown(text: str) -> str:
    """Without secrets; as text also without control characters, which JSON escapes itself."""
    return redact(text) if _structured else printable(redact(text))


def structured() -> bool:
    """Whether events go out as JSON lines."""
    return _structured


@contextmanager
def bound(**fields: str) -> Iterator[None]:
    """Adds fields to every JSON line of the process, from any thread, while the context lasts."""
    before = dict(_bound)
    _bound.update(fields)
    try:
        yield
    finally:
        _bound.clear()
        _bound.update(before)


def event(logger: logging.Logger, message: str, **fields: Any) -> None:
    """Logs an event; only JSON lines show its `fields`."""
    logger.info(message, extra={"fields": fields})


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, str):
        return redact(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
