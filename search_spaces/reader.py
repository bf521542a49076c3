"""Reads a safe subset of YAML: one document of mappings, lists and plain values.

Refuses tags, anchors and aliases (an alias bomb needs them), duplicate keys, keys that are not text, non-finite
numbers, text that is not UTF-8, more than `MAX_BYTES` and more than `MAX_DEPTH` levels. Reads plain values by the core
schema of YAML 1.2, so `1e-4` is a number and `no`, `off` and `1:30` are text.
"""

import glob
import math
import os
import re
import select
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from search_spaces.errors import SpecError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 16
MAX_KEY = 200
"""Characters in a key; messages repeat keys."""
PIPE_WAIT_S = 10.0
"""The reader gives up on a pipe that is silent for this long."""
_MAX_DIGITS = 18  # of a whole number that fits into 64 bits

_INT = re.compile(r"[-+]?[0-9]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"(?i)[-+]?\.?(nan|inf|infinity)", re.ASCII)
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """A document's value, and the line of every key and list item, counted from 1."""

    value: Any
    lines: dict[KeyPath, int]


def read_file(path: str | Path) -> Document:
    """Reads one YAML file; a SpecError names the file, the line and the column."""
    try:
        # One byte more than allowed shows that a file is too large, without reading all of it.
        content = _read_at_most(path, MAX_BYTES + 1)
    except FileNotFoundError:
        hint = f"did you mean '{moved}'? Give" if (moved := _in_a_subfolder(Path(path))) else "give"
        raise SpecError(f"{path}: there is no such file; {hint} the path of a search specification (YAML).") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SpecError(f"{path}: cannot be read ({reason}); give the path of a search specification (YAML).") from None
    if len(content) > MAX_BYTES:
        raise SpecError(f"{path}: is larger than {MAX_BYTES // 1024} KiB, the most a search specification may have.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SpecError(f"{path}:{line}: is not UTF-8 text (byte {error.start}); save the file as UTF-8.") from None
    return read_text(text, str(path))


def _in_a_subfolder(path: Path) -> Path | None:
    """A file of the same name in a direct sub-folder of the path's folder, if there is one."""
    with suppress(OSError):
        return next(
            (found for found in sorted(path.parent.glob(f"*/{glob.escape(path.name)}")) if found.is_file()), None
        )
    return None


def _read_at_most(path: str | Path, limit: int) -> bytes:
    """The first bytes of a file, or of a pipe while its writer keeps writing."""
    # Non-blocking, because opening a pipe without a writer would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    content = bytearray()
    try:
        while len(content) < limit:
            if not select.select([descriptor], [], [], PIPE_WAIT_S)[0]:
                raise ValueError(f"nothing came out of it for {PIPE_WAIT_S:g} s")
            piece = os.read(descriptor, limit - len(content))
            if not piece:
                break
            content += piece
    finally:
        os.close(descriptor)
    return bytes(content)


def read_text(text: str, source: str) -> Document:
    """Reads one YAML document; every error starts with `source`."""
    if len(text) > MAX_BYTES:
        raise SpecError(f"{source}: is longer than {MAX_BYTES // 1024} KiB.")
    return _Reader(text, source).document()


class _Reader:
    """Builds the value from the parser's events, so that nothing is expanded before it is checked."""

    def __init__(self, text: str, source: str) -> None:
        self._source = source
        self._events = self._parse(text)
        self._lines: dict[KeyPath, int] = {}

    def document(self) -> Document:
        self._next()  # the stream's start
        if isinstance(event := self._next(), yaml.StreamEndEvent):
            self._refuse(event, "the document is empty")
        value = self._value(self._next(), ())
        self._next()  # the document's end
        if not isinstance(event := self._next(), yaml.StreamEndEvent):
            self._refuse(event, "a second document begins here; keep one document in the file")
        return Document(value, self._lines)

    def _parse(self, text: str) -> Iterator[yaml.Event]:
        try:
            yield from yaml.parse(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
            why = ", ".join(part for part in (error.context, error.problem) if part)
            raise SpecError(f"{self._source}{place}: is not YAML: {why}.") from None
        except yaml.YAMLError as error:
            position = getattr(error, "position", 0)
            line = text.count("\n", 0, position) + 1
            column = position - text.rfind("\n", 0, position)
            raise SpecError(f"{self._source}:{line}:{column}: holds a character that YAML does not allow.") from None
        except (ValueError, OverflowError):
            # PyYAML does not check numbers in escapes (\U00110000) and directives before it converts them.
            raise SpecError(
                f"{self._source}: is not YAML: an escape or a directive holds an impossible number."
            ) from None

    def _next(self) -> Any:
        return next(self._events)

    def _value(self, event: Any, path: KeyPath) -> Any:
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event, f"the alias '*{event.anchor}' is not allowed; write the value out")
        if event.anchor is not None:
            self._refuse(event, f"the anchor '&{event.anchor}' is not allowed; write the value out where it is used")
        if event.tag is not None:
            self._refuse(event, f"the tag '{event.tag}' is not allowed; write a plain value")
        if isinstance(event, yaml.ScalarEvent):
            return self._plain(event) if event.style is None else event.value
        if len(path) >= MAX_DEPTH:
            self._refuse(event, f"is nested more than {MAX_DEPTH} levels deep")
        return self._mapping(path) if isinstance(event, yaml.MappingStartEvent) else self._list(path)

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._value(event, path) if isinstance(event, (yaml.ScalarEvent, yaml.AliasEvent)) else None
            if not isinstance(key, str):
                self._refuse(event, "a key must be text; put it in quotes if it is meant to be a name")
            if len(key) > MAX_KEY:
                self._refuse(event, f"the key {_short(key)} has more than {MAX_KEY} characters")
            if key in found:
                self._refuse(event, f"the key '{key}' is given twice in one mapping; keep one of the two")
            self._lines[(*path, key)] = event.start_mark.line + 1
            found[key] = self._value(self._next(), (*path, key))
        return found

    def _list(self, path: KeyPath) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            here = (*path, len(found))
            self._lines[here] = event.start_mark.line + 1
            found.append(self._value(event, here))
        return found

    def _plain(self, event: Any) -> Any:
        text: str = event.value
        if text in _WORDS:
            return _WORDS[text]
        if _NOT_FINITE.fullmatch(text):
            self._refuse(event, f"{text} is not a finite number; write one, or put quotes around it if it is text")
        if _INT.fullmatch(text):
            digits = text.lstrip("+-")
            if len(digits) > 1 and digits[0] == "0":
                self._refuse(
                    event, f"{_short(text)} begins with 0; drop the zero, or put quotes around it if it is text"
                )
            if len(digits) > _MAX_DIGITS:
                self._refuse(event, f"{_short(text)} has more than {_MAX_DIGITS} digits")
            return int(text)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if not math.isfinite(number):
                self._refuse(event, f"{_short(text)} is too large for a number")
            return number
        return text

    def _refuse(self, event: Any, why: str) -> NoReturn:
        mark = event.start_mark
        raise SpecError(f"{self._source}:{mark.line + 1}:{mark.column + 1}: {why}.")


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
