"""Early stopping: Ray's ASHA on `epoch`, whose rungs can be filled again from the journal."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from orchestrator.study.journal import TrialRecord
from search_spaces.schema import SearchSpec


class _KeepsStartingActors(FIFOScheduler):
    """Leaves it to Tune's queue which trial runs next.

    A scheduler that names one makes Tune give it any actor that is free and kill the one that was starting for it: with
    trials shorter than an actor's start, a search would never come to run several at a time. Nothing is paused here, so
    that there is nothing to choose; and the choice looks at every trial so far in each turn of Tune's loop.
    """

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        return None


class ResumableASHA(_KeepsStartingActors, AsyncHyperBandScheduler):
    """ASHA with one bracket. `epoch` is its clock, since `training_iteration` restarts on a resume; a trial that
    reaches the last epoch ends by itself, so that only real early stops are decided here."""

    def refill(self, finished: Iterable[TrialRecord]) -> None:
        """Puts finished trials' results back into the rungs, as `on_result` would have, without deciding anything."""
        (bracket,) = self._brackets
        for record in finished:
            # All that the bracket asks of a trial is its id.
            trial: Any = SimpleNamespace(trial_id=record.trial)
            for metrics in record.history:
                if self._metric in metrics and self._metric_op is not None:
                    bracket.on_result(trial, int(metrics["epoch"]), self._metric_op * metrics[self._metric])


def build_scheduler(spec: SearchSpec, epochs: int, finished: Iterable[TrialRecord]) -> TrialScheduler:
    """The spec's scheduler with the results of trials that ended before a resume."""
    rule = spec.scheduler
    if rule.name == "none":
        return _KeepsStartingActors()
    asha = ResumableASHA(
        time_attr="epoch",
        metric=rule.metric,
        mode="min" if rule.goal == "minimize" else "max",
        max_t=epochs,
        grace_period=rule.grace_epochs,
        reduction_factor=rule.reduction_factor,
        stop_last_trials=False,
    )
    asha.refill(finished)
    return asha
