"""Hides secrets in the command line of this process, which other users see and Ray stores as the job's entrypoint."""

import sys

from ray._raylet import setproctitle  # type: ignore[attr-defined]  # compiled

from orchestrator.process.redact import redact


def hide_secrets_in_title() -> None:
    """Replaces the command line if an argument holds a secret, such as the password in --tracking-uri."""
    command = " ".join(sys.orig_argv)
    if (shown := redact(command)) != command:
        setproctitle(shown)
