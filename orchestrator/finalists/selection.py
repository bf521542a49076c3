"""Selects the finalists: the best configurations, retrained in full over several seeds, so that no lucky seed wins.

The seeds are new. The search selected its winners by the results of its own seed, so those results are too good.
"""

from orchestrator.finalists.fixed_trials import PlannedTrial
from orchestrator.planning.trials import resolve_trial
from orchestrator.study.journal import TrialRecord
from orchestrator.study.ranking import best_trials, violations
from search_spaces.schema import SearchSpec


def plan_finalists(spec: SearchSpec, records: list[TrialRecord]) -> list[PlannedTrial]:
    """Returns `top` configurations times `seeds` retrainings; equal configurations count once."""
    chosen: list[TrialRecord] = []
    for record in best_trials(spec, records):
        if all(record.params != other.params for other in chosen):
            chosen.append(record)
    planned = []
    for record in chosen[: spec.finalists.top]:
        config = resolve_trial(spec, record.params)
        for k in range(1, spec.finalists.seeds + 1):
            seed = config.seed + k
            planned.append(
                PlannedTrial(
                    trial=f"f{record.trial[1:]}-seed{seed}",
                    kind="finalist",
                    config=config.override({"seed": seed}),
                    params=record.params,
                    of=record.trial,
                )
            )
    return planned


def best_finalist(spec: SearchSpec, records: list[TrialRecord]) -> list[TrialRecord]:
    """Returns the completed seeds of the best configuration, with the seed to register first; empty where none is fit.

    The mean over all seeds of a configuration decides. Only a seed that meets the spec's constraints can be registered,
    so a configuration without such a seed is skipped. With several objectives the first one decides.
    """
    by_configuration: dict[str, list[TrialRecord]] = {}
    for record in records:
        if record.kind == "finalist" and record.state == "completed" and record.of:
            by_configuration.setdefault(record.of, []).append(record)
    objective = spec.objectives[0]
    sign = 1 if objective.goal == "minimize" else -1

    def loss(record: TrialRecord) -> float:
        return sign * record.outcome[objective.metric]

    def unfit(record: TrialRecord) -> bool:
        return any(excess > 0 for excess in violations(spec, record.outcome).values())

    candidates = [seeds for seeds in by_configuration.values() if not all(map(unfit, seeds))]
    best = min(candidates, key=lambda seeds: sum(map(loss, seeds)) / len(seeds), default=[])
    return sorted(best, key=lambda record: (unfit(record), loss(record), record.trial))
