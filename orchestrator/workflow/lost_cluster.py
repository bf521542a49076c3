"""What a run does when its Ray cluster is lost: starts itself again, or ends with the command that continues it."""

import os

from rich.console import Console

from orchestrator.errors import EXIT_FAILED
from orchestrator.process.restart import LIMIT, restart, restarts_left


def continue_or_end(sentence: str, console: Console, command: str, local: bool) -> None:
    """Says the `sentence`, then runs this command again if its cluster was `local`; else, or after too many times, ends
    the process with exit code 1.

    Both are as safe as a SIGKILL: what a resume reads is on disk. Ray's calls to a lost cluster could block for a
    minute, so nothing is closed first.
    """
    console.show_cursor()
    if local and (left := restarts_left()) > 0:
        console.print(f"{sentence} Starting it again and continuing ({LIMIT - left + 1} of {LIMIT} times).")
        restart()
    console.print(f"{sentence} What was recorded is safe; continue with: {command}")
    os._exit(EXIT_FAILED)
