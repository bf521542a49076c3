"""Runs this process's command again with --resume, in its place: the process id, stdin, stdout and stderr stay.

A search that has lost its local Ray cluster continues in this way. A new process is safer than new clients in the old
one, and the same as a kill and a resume by hand.
"""

import os
import signal
import stat
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

LIMIT = 3
COUNT = "AIB_RESTARTS"
"""Environment variable: how often this command was run again."""
VERBS = ("search", "train")


class _Command(NamedTuple):
    argv: Sequence[str]
    environment: Mapping[str, str]
    stdout: int | None


_commands: list[_Command] = []


def remember_command() -> None:
    """Keeps the command line, environment and stdout that this process was started with."""
    try:
        stdout = os.dup(1)
    except OSError:
        # Closed by the caller.
        stdout = None
    _commands[:] = [_Command(tuple(sys.orig_argv), dict(os.environ), stdout)]


def restarts_left() -> int:
    """How often `restart` may still be called; 0 unless this process is a command that --resume continues."""
    if not _commands or not any(verb in sys.argv[1:] for verb in VERBS) or any(map(_is_stream, sys.argv[1:])):
        return 0
    return max(0, LIMIT - _count())


def restart() -> None:
    """Replaces this process by the same command with --resume. Call it only while `restarts_left()`."""
    command = _commands[0]
    argv = list(command.argv)
    if "--resume" not in argv:
        argv.insert(next(index for index, word in enumerate(argv) if index > 0 and word in VERBS) + 1, "--resume")
    if command.stdout is not None:
        os.dup2(command.stdout, 1)
    # A new program inherits the signals that its thread blocks.
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    os.execve(sys.executable, argv, {**command.environment, COUNT: str(_count() + 1)})


def _count() -> int:
    value = _commands[0].environment.get(COUNT, "")
    return int(value) if value.isdecimal() else 0


def _is_stream(word: str) -> bool:
    """Whether the word names a pipe or a device, which cannot be read a second time."""
    try:
        mode = os.stat(word).st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
