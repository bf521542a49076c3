"""The sections of a search specification. Each checks itself; `section_rules.py` checks them against each other."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

SEED_LIMIT = 2**31 - 1

# `MAP/METRIC` is the metric of one of the model's further maps.
Metric = Annotated[str, Field(pattern=r"^([a-z][a-z0-9_]{0,31}/)?[a-z][a-z0-9_]{0,63}$")]
Goal = Literal["minimize", "maximize"]
Finite = Annotated[float, Field(allow_inf_nan=False)]
WorkerCount = Annotated[int, Field(ge=1, le=65_536)]
WorkerRange = tuple[WorkerCount, WorkerCount]


def as_tuple(value: Any) -> Any:
    """Converts a YAML list to a tuple, because frozen values hold tuples."""
    return tuple(value) if isinstance(value, list) else value


class SpecSection(BaseModel):
    """Frozen, with no unknown keys and no conversions between kinds of values."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Objective(SpecSection):
    metric: Metric
    goal: Goal


class Constraint(SpecSection):
    """A bound that a trial's metric must keep; exactly one of the two."""

    metric: Metric
    at_least: Finite | None = None
    at_most: Finite | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> "Constraint":
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("needs at_least or at_most, and not both; for a band write two constraints")
        return self

    @property
    def text(self) -> str:
        """The constraint in words, unique within a search: a metric may have a lower and an upper bound."""
        if self.at_most is None:
            return f"{self.metric} at least {self.at_least:g}"
        return f"{self.metric} at most {self.at_most:g}"


class Sampler(SpecSection):
    name: Literal["tpe", "gp", "nsga2", "cmaes", "random", "grid"] = "tpe"
    seed: Annotated[int, Field(ge=0, le=SEED_LIMIT)] = 0


class Scheduler(SpecSection):
    """Early stopping. `metric` defaults to the first objective's, `goal` to that of the objective it names."""

    name: Literal["asha", "none"] = "none"
    metric: Metric = "val_error_pct"
    goal: Goal = "minimize"
    grace_epochs: Annotated[int, Field(ge=1, le=100_000)] = 1
    """Epochs every trial runs before it may be stopped."""
    reduction_factor: Annotated[int, Field(ge=2, le=100)] = 4
    """At each rung one of this many trials continues."""


class Finalists(SpecSection):
    """The best trials, retrained in full: the `top` best, each over `seeds` seeds."""

    top: Annotated[int, Field(ge=0, le=1000)] = 3
    """0 for none: the search ends after its trials, and no model is judged or registered."""
    seeds: Annotated[int, Field(ge=1, le=1000)] = 3
    workers_per_trial: Annotated[WorkerRange | WorkerCount | None, BeforeValidator(as_tuple)] = None
    """DDP workers of a retraining: a number, or [least, most] for as many as the cluster has room for
    (null: as in the search). The global batch stays the same."""

    @property
    def worker_range(self) -> tuple[int, int] | None:
        """Least and most workers of a retraining; None: as many as in the search."""
        asked = self.workers_per_trial
        return (asked, asked) if isinstance(asked, int) else asked

    @model_validator(mode="after")
    def _ascending(self) -> "Finalists":
        least, most = self.worker_range or (1, 1)
        if least > most:
            raise ValueError(f"workers_per_trial is [{least}, {most}]; allowed: [least, most], as in [{most}, {least}]")
        return self


class Resources(SpecSection):
    workers_per_trial: WorkerCount = 1
    cpus_per_worker: Annotated[int, Field(ge=1, le=65_536)] = 1
    gpus_per_worker: Annotated[float, Field(ge=0, le=65_536, allow_inf_nan=False)] = 0.0
    """A whole number, or a share of one GPU below 1."""
    trials_per_slot: Annotated[int, Field(ge=1)] | None = None
    """Trials that one warm worker group runs before a new group replaces it (null: no limit)."""
    placement: Literal["pack", "spread"] = "pack"
    max_concurrent: Annotated[int, Field(ge=1)] | None = None
    """Most trials at the same time (null: as many as fit into the cluster)."""
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    """Among the studies of a cluster: a higher priority gets its slots first; every study keeps at least one."""
    share: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] = 1.0
    """Weight among the studies of equal priority: twice the weight, twice the part of the cluster."""

    hang_timeout_s: Annotated[float, Field(ge=5, le=86_400, allow_inf_nan=False)] | None = None
    """Seconds without progress after which a worker counts as hung and is replaced.

    Progress is a training step, a batch of an evaluation, or a file of a checkpoint. null: 20 times the worker's
    longest pause since the trial's first epoch, at least 120. During a worker's first epoch, and with null also its
    second, the limit is at least 600, because pauses are longer at the start."""

    @model_validator(mode="after")
    def _whole_gpus(self) -> "Resources":
        if self.gpus_per_worker > 1 and not self.gpus_per_worker.is_integer():
            raise ValueError(
                f"gpus_per_worker is {self.gpus_per_worker:g}; allowed: a whole number, or a share of one GPU below 1"
            )
        return self


class Gate(SpecSection):
    """What a finalist must keep to replace the present champion."""

    error_margin_pct: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Percentage points of error by which the finalist may be worse."""
    interpretability_margin_pct: Annotated[float, Field(ge=0, le=200)] = 2.0
    """Percentage points of `interp_centered_pct` by which the finalist may be worse."""
    min_attention_std: Annotated[float, Field(ge=0, le=1)] = 0.02
    """A map counts as dead below this standard deviation over its cells."""
    max_chance: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Allowed probability that always answering the most frequent class is right as often; 1 allows any model."""


def expand_name(value: Any) -> Any:
    """Expands the short form `sampler: NAME` or `scheduler: NAME` to its section."""
    return {"name": value} if isinstance(value, str) else value


def say_how_to_have_none(value: Any) -> Any:
    """Refuses null with the way to have no finalists; leaves everything else to the section."""
    if value is None:
        raise ValueError("is null; to have none write {top: 0}: then no model is retrained, judged or registered")
    return value


GivenFinalists = Annotated[Finalists, BeforeValidator(say_how_to_have_none)]
NamedSampler = Annotated[Sampler, BeforeValidator(expand_name)]
NamedScheduler = Annotated[Scheduler, BeforeValidator(expand_name)]


def complete_scheduler(scheduler: Any, objectives: Any) -> Any:
    """Fills in the scheduler's metric and goal from the objectives; leaves malformed values as they are."""
    scheduler = expand_name(scheduler)
    goals: dict[str, Any] = {}
    for objective in objectives if isinstance(objectives, (list, tuple)) else ():
        if isinstance(objective, Objective):
            goals[objective.metric] = objective.goal
        elif isinstance(objective, Mapping) and isinstance(objective.get("metric"), str):
            goals[objective["metric"]] = objective.get("goal")
    if not isinstance(scheduler, Mapping) or not goals:
        return scheduler
    metric = scheduler.get("metric", next(iter(goals)))
    known = goals.get(metric) if isinstance(metric, str) else None
    return {"metric": metric, **({"goal": known} if known else {}), **scheduler}
