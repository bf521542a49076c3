"""Checks names that become folders, database keys and registry entries."""

import re

NAME_PATTERN = r"[A-Za-z0-9._-]{1,64}"
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")


def check_name(name: str) -> str:
    """Returns the name; ValueError unless it is a safe folder name on every file system."""
    if re.fullmatch(NAME_PATTERN, name, re.ASCII) is None:
        raise ValueError(f"is {_shown(name)}; allowed: 1 to 64 of the characters A-Z a-z 0-9 . _ -")
    if name in (".", "..") or _DEVICES.fullmatch(name):
        raise ValueError(f"is {_shown(name)}, which means something else to the file system; choose another name")
    return name


def _shown(name: str) -> str:
    return ascii(name) if len(name) <= 80 else ascii(name[:77] + "...")
