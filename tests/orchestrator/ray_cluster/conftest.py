"""Fixtures that make one trial's assignment and run it in a pool."""

from tests.support.slot_trials import new_assignment, run

__all__ = ["new_assignment", "run"]
