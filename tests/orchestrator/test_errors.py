"""Every deliberate error has its exit code; any other error has none."""

import pickle

import pytest

from orchestrator.errors import PreflightError, exit_code_for
from search_spaces.errors import SpecError
from trainables.errors import CheckpointError, ConfigError, DataError, DivergedError, StorageError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (SpecError("x"), 2),
        (PreflightError("x"), 3),
        (DataError("x"), 3),
        (CheckpointError("x"), 1),
        (DivergedError("x"), 1),
        (KeyboardInterrupt(), 130),
        (ValueError("x"), None),
        (OSError("x"), None),
        (OSError(28, "No space left on device"), 1),
        (StorageError("x"), 1),
    ],
)
def test_exit_codes_follow_the_contract(error: BaseException, code: int | None) -> None:
    assert exit_code_for(error) == code
    assert exit_code_for(pickle.loads(pickle.dumps(error))) == code
