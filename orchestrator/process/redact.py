"""Hides secrets in text and mappings before they are logged, stored or shown.

Three kinds of secrets are hidden:
- credentials inside URIs (`scheme://user:pass@host`, `?token=...`);
- values under names of secrets (`password: ...`);
- secrets that this process was given, wherever they appear: values of its secret environment variables, and passwords
  of URIs among its environment variables and command-line arguments.

Addresses of objects in memory, which libraries put into their messages, are left out too: they tell the reader nothing.
"""

import functools
import os
import re
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

HIDDEN = "***"

_SECRET_NAME = (
    r"(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key(?:[_-]?id)?|private[_-]?key|credentials?)"
)
_SECRET_KEY = re.compile(rf"(?:^|[._-]){_SECRET_NAME}$", re.IGNORECASE)
_MIN_SECRET_CHARS = 6
"""Shorter environment values ("1", "true") are kept: hiding them would spoil innocent text."""
_FOLDER_NAMES = ("PWD", "OLDPWD")
"""Set by the shell: PWD is the working directory here, not a password."""

_USERINFO = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^\s/?#'\"<>]*@", re.IGNORECASE)
_PASSWORD = re.compile(r"://[^\s/?#:'\"<>]*:(?P<password>[^\s?#'\"<>]*)@")
_BEARER = re.compile(r"\b(?P<kind>bearer|basic)\s+[a-z0-9._~+/=-]{8,}", re.IGNORECASE)
_ASSIGNED = re.compile(
    rf"(?P<name>\b[\w.-]*?{_SECRET_NAME}[\"']?\s*[=:]\s*)(?:\"[^\"]*\"|'[^']*'|(?!\*\*\*)[^\s&\"',;)}}]+)",
    re.IGNORECASE,
)
_SIGNED = re.compile(r"(?P<name>[?&](?:[\w-]*signature|sig)=)[^\s&\"']+", re.IGNORECASE)
_AWS_KEY = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]{6,}\b")


def redact(text: str) -> str:
    """Replaces every recognised secret in the text by `***`; host names and paths stay readable."""
    return _redact(text, _given_secrets())


def _redact(text: str, given: list[str]) -> str:
    for value in given:
        text = text.replace(value, HIDDEN)
    text = _USERINFO.sub(rf"\g<scheme>{HIDDEN}@", text)
    text = _BEARER.sub(rf"\g<kind> {HIDDEN}", text)
    for pattern in (_ASSIGNED, _SIGNED):
        text = pattern.sub(rf"\g<name>{HIDDEN}", text)
    return _ADDRESS.sub("", _AWS_KEY.sub(HIDDEN, text))


def without_userinfo(uri: str) -> str:
    """The URI without its `user:pass@`, so that other users can open it too."""
    return _USERINFO.sub(r"\g<scheme>", uri)


@functools.lru_cache(maxsize=4096)
def is_secret_name(key: str) -> bool:
    """Whether the last part of a key names a secret: true for `db.password` and `API_KEY`, false for `num_tokens`."""
    return _SECRET_KEY.search(key) is not None


def redact_mapping(values: Mapping[str, Any]) -> dict[str, str]:
    """Turns values into redacted text; a value whose key names a secret becomes `***`."""
    given = _given_secrets()
    return {key: HIDDEN if is_secret_name(key) else _redact(str(value), given) for key, value in values.items()}


def _given_secrets() -> list[str]:
    """Secrets this process was given, longest first: a secret that contains another one is then replaced whole."""
    found = {value for name, value in os.environ.items() if is_secret_name(name) and name not in _FOLDER_NAMES}
    for given in (*os.environ.values(), *sys.argv):
        if "@" in given:
            found |= {form for password in _PASSWORD.findall(given) for form in (password, unquote(password))}
    return sorted((value for value in found if len(value) >= _MIN_SECRET_CHARS), key=len, reverse=True)
