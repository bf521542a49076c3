"""Errors of the wiring, beside those of the science in `trainables.errors`, and the exit code of each."""

from search_spaces.errors import SpecError
from trainables.errors import AIBError, ConfigError, DataError

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_PREFLIGHT = 3
EXIT_PARTIAL = 4
EXIT_GATE_REFUSED = 5
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


class PreflightError(AIBError):
    """Something a run needs is missing or unreachable; found before anything was started."""


_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (PreflightError, EXIT_PREFLIGHT),
    (DataError, EXIT_PREFLIGHT),
    (ConfigError, EXIT_USAGE),
    (SpecError, EXIT_USAGE),
    (AIBError, EXIT_FAILED),
    (KeyboardInterrupt, EXIT_INTERRUPTED),
)


def first_line(error: BaseException) -> str:
    """What went wrong in one line; the error's type where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def exit_code_for(error: BaseException) -> int | None:
    """The exit code of an error that was raised on purpose, or that the system gave for a file or a connection; None
    for any other, which is a bug and shows its trace."""
    if isinstance(error, OSError) and error.errno is not None:
        return EXIT_FAILED
    return next((code for kind, code in _CODES if isinstance(error, kind)), None)
