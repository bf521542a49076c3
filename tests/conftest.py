"""Data shared by the whole run: the embedded data set, composed once."""

from pathlib import Path

import pytest

from trainables.data.prepare import prepare


@pytest.fixture(scope="session")
def digits_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with cluttered-digits at 16 px."""
    root = tmp_path_factory.mktemp("data")
    prepare("cluttered-digits", root, 16)
    return root
