"""Early stopping: Ray's ASHA with `epoch` as its clock; a resume refills its rungs from the journal."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from orchestrator.study.journal import TrialRecord
from search_spaces.schema import SearchSpec


class _KeepsStartingActors(FIFOScheduler):
    """Leaves the choice of the next trial to Tune's queue.

    If a scheduler names the trial, Tune gives it any free actor and kills the actor that was starting for it. With
    trials shorter than an actor's start, a search would then run one trial at a time. We pause no trial, so there is
    nothing to choose, and Ray's choice would look at every trial in each turn of Tune's loop.
    """

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        return None


class ResumableASHA(_KeepsStartingActors, AsyncHyperBandScheduler):
    """ASHA with one bracket.

    Its clock is `epoch`, since `training_iteration` restarts on a resume. A trial ends by itself at its last epoch, so
    every stop decided here is an early stop.
    """

    def refill(self, finished: Iterable[TrialRecord]) -> None:
        """Puts the results of finished trials into the rungs as `on_result` did; decides nothing."""
        (bracket,) = self._brackets
        for record in finished:
            # The bracket uses only the trial's id.
            trial: Any = SimpleNamespace(trial_id=record.trial)
            for metrics in record.history:
                if self._metric in metrics and self._metric_op is not None:
                    bracket.on_result(trial, int(metrics["epoch"]), self._metric_op * metrics[self._metric])


def build_scheduler(spec: SearchSpec, epochs: int, finished: Iterable[TrialRecord]) -> TrialScheduler:
    """Returns the spec's scheduler, filled with the results of trials that ended before a resume."""
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
