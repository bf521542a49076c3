"""Studies built from journal events, without running a trial."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from orchestrator.study.journal import StudyState
from orchestrator.study.study import StudyView
from search_spaces.schema import SearchSpec
from trainables import metrics

SPEC: dict[str, Any] = {
    "name": "demo",
    "trial": {
        "model": "vgg-aib-qt",
        "dataset": "cluttered-digits",
        "recipe": "paper",
        "epochs": 6,
        "model.width": 0.125,
    },
    "space": {
        "bottleneck.beta": {"power_of_ten": [0, 1, 2, 3, 4]},
        "bottleneck.latent_dim": {"choice": [16, 32, 64]},
        "attention.lambda_q": {"float": [0.05, 1.0], "log": True},
    },
    "constraints": [{"metric": "val_attention_std", "at_least": 0.02}],
    "scheduler": {"name": "asha", "grace_epochs": 2},
    "trials": 12,
    "finalists": {"top": 2, "seeds": 2},
    "registered_model": "aib-demo",
}
START_S = 1_700_000_000.0


def epoch_row(epoch: int, level: float) -> dict[str, float]:
    """Metrics of one epoch of a run whose validation error approaches `level` percent."""
    error = level + 60 * math.exp(-0.7 * epoch)
    row = dict.fromkeys((*metrics.PER_EPOCH, *metrics.INTERP_SUMMARY), 1.0)
    return row | {
        "epoch": float(epoch),
        "train_loss": 0.05 * error,
        "train_nll": 0.03 * error,
        "val_nll": 0.04 * error,
        "train_kl_nats": 3.0 + epoch,
        "val_error_pct": error,
        "test_error_pct": error + 1,
        "val_attention_std": 0.1,
        "interp_centered_pct": 80 - 0.8 * error,
        "interpretability_pct": 97.0,
    }


def final_row(level: float) -> dict[str, float]:
    """Metrics that the last epoch of a full trial adds."""
    scores = {name: float(20 + place % 70) for place, name in enumerate(metrics.INTERPRETABILITY)}
    return {
        **scores,
        **{f"test_{name}": value - 1 for name, value in scores.items()},
        "interp_centered_pct": 80 - 0.8 * level,
        "best_epoch": 6.0,
        "final_val_error_pct": level,
        "final_test_error_pct": level + 1.5,
        "best_test_epoch_error_pct": level + 1,
        "final_val_attention_std": 0.11,
        "attention_in_mask_pct": 31.0,
        "mask_area_pct": 14.0,
        "attention_in_mask_ratio": 2.21,
        "attention_in_mask_minmax_pct": 42.0,
        "attention_in_mask_minmax_ratio": 3.0,
    }


class StudyBuilder:
    """Builds a study event by event."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.spec = SearchSpec.from_dict(spec)
        self.state = StudyState()
        self._time = START_S

    def event(self, name: str, **fields: Any) -> None:
        self._time += 30
        self.state.apply({"event": name, "time": self._time, **fields})

    def trial(
        self,
        name: str,
        level: float,
        *,
        epochs: int = 6,
        state: str | None = "completed",
        kind: str = "search",
        reason: str = "",
        of: str | None = None,
        seed: int = 0,
        params: Mapping[str, Any] | None = None,
        **changed: float,
    ) -> None:
        """Adds one trial; `changed` metrics replace those of every epoch, and `state=None` leaves the trial running."""
        given = {"bottleneck.beta": 0.01, "bottleneck.latent_dim": 32, "attention.lambda_q": 0.05 + level / 100}
        self.event("trial", trial=name, kind=kind, params=dict(given if params is None else params), seed=seed, of=of)
        for epoch in range(1, epochs + 1):
            last = final_row(level) if state == "completed" and epoch == epochs else {}
            ran_on = {"num_workers": float(self.spec.resources.workers_per_trial)}
            self.event("epoch", trial=name, metrics={**epoch_row(epoch, level), **ran_on, **last, **changed})
        if state is not None:
            self.event("ended", trial=name, state=state, reason=reason)

    def view(self) -> StudyView:
        facts = {"signature": "5f0c" * 16, "data": {"name": "cluttered-digits", "digest": "ab12" * 16}}
        return StudyView(self.spec, facts, self.state)


@pytest.fixture
def new_study() -> Callable[..., StudyBuilder]:
    """Starts a study; keyword arguments replace sections of its spec."""
    return lambda **changed: StudyBuilder({**SPEC, **changed})


@pytest.fixture
def finished(new_study: Callable[..., StudyBuilder]) -> StudyBuilder:
    """A study that is done: four full trials (one infeasible), two stopped, one failed, one running, and two finalists
    with two seeds each."""
    study = new_study()
    study.event("stage", stage="searching")
    study.trial("t00000", 30.0)
    study.trial("t00001", 55.0, epochs=2, state="stopped")
    study.trial("t00002", 12.0, val_attention_std=0.001)
    study.trial("t00003", 21.0)
    study.trial("t00004", 70.0, epochs=4, state="stopped")
    study.trial("t00005", 40.0, epochs=1, state="failed", reason="the loss is not finite in epoch 2; lower optim.lr")
    study.trial("t00006", 26.0, interp_centered_pct=88.0)
    study.trial("t00007", 40.0, epochs=3, state=None)
    study.event("stage", stage="finalists")
    for of, level in (("t00003", 20.0), ("t00000", 28.0)):
        params = study.state.trials[of].params
        for seed in (1, 2):
            study.trial(f"f{of[1:]}-seed{seed}", level + seed, kind="finalist", of=of, seed=seed, params=params)
    study.event("stage", stage="done")
    return study
