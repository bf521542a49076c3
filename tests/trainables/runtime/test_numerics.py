"""Process-wide settings: a trial's settings also reach the next trial of the process."""

import os

import pytest
import torch

from tests.support.tiny_trial import tiny_trial
from trainables.runtime import numerics


def test_a_trial_on_a_gpu_leaves_the_next_one_free_to_be_deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch reads the variable at the process's first matrix product on a GPU, in any trial."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    numerics.apply(tiny_trial(numerics__deterministic=False), torch.device("cuda"))
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    numerics.apply(tiny_trial(), torch.device("cuda"))
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8", "a value that is already set stays"
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    numerics.apply(tiny_trial(), torch.device("cpu"))
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_determinism_does_not_fill_memory_that_is_written_next() -> None:
    torch.utils.deterministic.fill_uninitialized_memory = True
    numerics.apply(tiny_trial(), torch.device("cpu"))
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory
