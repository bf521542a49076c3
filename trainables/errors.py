"""What can go wrong in the science layer, as types a caller can tell apart.

Every message says what was received, what is allowed and which field or file to change.
All of them carry one string, so that they pickle unchanged from a worker to its driver.
"""


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
