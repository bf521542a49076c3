"""Errors of the wiring, beside those of the science in `trainables.errors`."""

from trainables.errors import AIBError


class PreflightError(AIBError):
    """Something a run needs is missing or unreachable; found before anything was started."""
