"""What can go wrong in the science layer, as types a caller can tell apart.

Every message says what was received, what is allowed and which field or file to change.
All of them carry one string, so that they pickle unchanged from a worker to its driver.
"""

from typing import Self


class AIBError(Exception):
    """Root of the errors this project raises on purpose."""


class ConfigError(AIBError):
    """A field of a trial or a search has a value that is not allowed, or a name that does not exist."""


class DataError(AIBError):
    """A data set is missing, incomplete, altered, or holds a bad record."""


class CheckpointError(AIBError):
    """A checkpoint is incomplete or does not match its manifest."""


class DivergedError(AIBError):
    """The training loss is no longer finite."""


class StorageError(AIBError):
    """Storage is full, unwritable or away. What was stored before is intact; the same command goes on from it."""

    @classmethod
    def unwritable(cls, place: object, error: BaseException) -> Self:
        """For what could not be written at a place, with the system's reason."""
        return cls(
            f"{place} cannot be written ({_reason(error)}); what was stored before is intact. Make room or make it "
            "writable, then go on with the same command (a study with --resume)."
        )

    @classmethod
    def unreadable(cls, place: object, error: BaseException) -> Self:
        """For what could not be read at a place, with the system's reason."""
        return cls(
            f"{place} cannot be read ({_reason(error)}); what is stored is as it was. Make it reachable and readable, "
            "then go on with the same command (a study with --resume)."
        )


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or (str(error).strip() or type(error).__name__).splitlines()[0]
