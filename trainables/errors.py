"""Exceptions of the science layer, one type for each kind of fault.

Every message says what was received, what is allowed and which field or file to change.
Each exception carries one string, so that it pickles unchanged from a worker to its driver.
"""

from typing import Self


class AIBError(Exception):
    """Base class of all errors that this project raises on purpose."""


class ConfigError(AIBError):
    """A field of a trial or a search does not exist, or has a value that is not allowed."""


class DataError(AIBError):
    """A data set is missing, incomplete, altered, or contains a bad record."""


class CheckpointError(AIBError):
    """A checkpoint is incomplete or does not match its manifest."""


class DivergedError(AIBError):
    """The training loss is no longer finite."""


class StorageError(AIBError):
    """Storage is full, not writable or not reachable. Stored data is intact; the same command continues from it."""

    @classmethod
    def unwritable(cls, place: object, error: BaseException) -> Self:
        """The error for a place that cannot be written, with the system's reason."""
        return cls(
            f"{place} cannot be written ({_reason(error)}); what was stored before is intact. Make room or make it "
            "writable, then run the same command again (a study with --resume)."
        )

    @classmethod
    def unreadable(cls, place: object, error: BaseException) -> Self:
        """The error for a place that cannot be read, with the system's reason."""
        return cls(
            f"{place} cannot be read ({_reason(error)}); what is stored is unchanged. Make it reachable and readable, "
            "then run the same command again (a study with --resume)."
        )


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or (str(error).strip() or type(error).__name__).splitlines()[0]
