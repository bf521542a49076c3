"""Checkpoint names are parsed to the values they are made of, and ordered by the state that they hold."""

import pytest

from trainables.checkpoints.checkpoint_name import (
    Age,
    attempt_age,
    attempt_name,
    state_name,
    upload_age,
    upload_name,
)


@pytest.mark.parametrize(
    ("age", "name"),
    [
        (Age(7, 0, 1), "epoch_000007"),
        (Age(7, 120, 1), "epoch_000007_step_000120"),
        (Age(7, 0, 2), "epoch_000007.002"),
        (Age(7, 1_000_000, 1000), "epoch_000007_step_1000000.1000"),
        (Age(1_000_000, 0, 1), "epoch_1000000"),
    ],
)
def test_names_are_parsed_to_what_they_were_made_of(age: Age, name: str) -> None:
    state = state_name(age.epoch, age.step)
    assert attempt_name(state, age.attempt) == name
    assert attempt_age(name) == age
    upload = upload_name(state, age.attempt)
    assert upload.startswith(f"{state}.{age.attempt}-")
    assert upload_age(upload) == age


@pytest.mark.parametrize("name", [".epoch_000005.4711", "epoch_5", "epoch_000005.2", "epoch_000005_step_", "best", ""])
def test_other_names_are_no_checkpoints(name: str) -> None:
    assert attempt_age(name) is None
    assert upload_age(name) is None


def test_a_step_is_newer_than_its_epochs_start_and_older_than_its_end() -> None:
    steps = ["epoch_000001_step_999999", "epoch_000001_step_1000000"]
    names = ["epoch_000001", "epoch_000001.002", *steps, "epoch_000002"]
    ages = [attempt_age(name) for name in names]
    assert ages == sorted(age for age in ages if age is not None)
