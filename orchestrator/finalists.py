"""The best configurations again, in full and over several seeds: what a single lucky seed cannot win.

Their seeds are new: the search chose its winners by the results of its own seed, which therefore flatters them.
"""

from orchestrator.jobs import PlannedTrial
from orchestrator.journal import TrialRecord
from orchestrator.plan import resolve_trial
from orchestrator.ranking import best_trials, violations
from search_spaces.schema import SearchSpec


def plan_finalists(spec: SearchSpec, records: list[TrialRecord]) -> list[PlannedTrial]:
    """`top` configurations times `seeds` retrainings; configurations that are equal count once."""
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
    """The completed seeds of the configuration that is best on average, best seed first; empty where there is none.

    A seed that does not keep the spec's constraints is no candidate, as no trial of the search would be. With several
    objectives the first decides, as it does between points of a front.
    """
    by_configuration: dict[str, list[TrialRecord]] = {}
    for record in records:
        kept = all(excess <= 0 for excess in violations(spec, record.outcome).values())
        if record.kind == "finalist" and record.state == "completed" and record.of and kept:
            by_configuration.setdefault(record.of, []).append(record)
    objective = spec.objectives[0]
    sign = 1 if objective.goal == "minimize" else -1

    def mean_loss(seeds: list[TrialRecord]) -> float:
        return sign * sum(record.outcome[objective.metric] for record in seeds) / len(seeds)

    if not by_configuration:
        return []
    best = min(by_configuration.values(), key=mean_loss)
    return sorted(best, key=lambda record: (sign * record.outcome[objective.metric], record.trial))
