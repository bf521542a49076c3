"""The fields of a search specification with their types and defaults; `schema.SearchSpec` adds the checks."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from search_spaces.distributions import Distribution, distribution
from search_spaces.json_schema import DISTRIBUTION_SCHEMA, TRIAL_SCHEMA
from search_spaces.names import NAME_PATTERN, check_name
from search_spaces.sections import (
    Constraint,
    Finalists,
    Gate,
    GivenFinalists,
    NamedSampler,
    NamedScheduler,
    Objective,
    Resources,
    Sampler,
    Scheduler,
    SpecSection,
    as_tuple,
)
from search_spaces.trial_keys import flat_keys, trial_values

MAX_TRIALS = 100_000


def _space(given: Any) -> Any:
    """Expands short keys. The distributions are read one by one later, so that each error names its key."""
    if not isinstance(given, Mapping):
        raise ValueError("is not a mapping; allowed: dotted keys of the trial, each with how it varies")
    space = dict(given)
    for key in given:
        full = next(iter(flat_keys({key: None})))
        if full != key:
            if full in space:
                raise ValueError(f"gives '{full}' twice; keep one of the two")
            space[full] = space.pop(key)
    return space


Name = Annotated[str, AfterValidator(check_name), Field(json_schema_extra={"pattern": f"^{NAME_PATTERN}$"})]
TrialFields = Annotated[dict[str, Any], BeforeValidator(trial_values), WithJsonSchema(TRIAL_SCHEMA)]
Varied = Annotated[
    Distribution,
    PlainValidator(distribution),
    PlainSerializer(lambda varied: varied.to_dict()),
    WithJsonSchema(DISTRIBUTION_SCHEMA),
]


class SpecFields(SpecSection):
    """Every field of a search."""

    name: Name
    trial: TrialFields
    """Fixed fields of every trial, under full dotted keys; the recipe gives the others."""
    space: Annotated[dict[str, Varied], BeforeValidator(_space)]
    """Dotted key of the trial -> its distribution."""
    first: Annotated[tuple[TrialFields, ...], BeforeValidator(as_tuple)] = ()
    """Points to try before the sampler proposes; the sampler draws the keys that a point leaves out."""
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1, max_length=8), BeforeValidator(as_tuple)] = (
        Objective(metric="val_error_pct", goal="minimize"),
    )
    constraints: Annotated[tuple[Constraint, ...], Field(max_length=32), BeforeValidator(as_tuple)] = ()
    sampler: NamedSampler = Sampler()
    scheduler: NamedScheduler = Scheduler()
    trials: Annotated[int, Field(ge=1, le=MAX_TRIALS)]
    """May be left out with the grid sampler: the default is then the whole grid."""
    finalists: GivenFinalists = Finalists()
    resources: Resources = Resources()
    registered_model: Name
    """Name in the registry; defaults to the search's name."""
    gate: Gate = Gate()
    max_failures_per_trial: Annotated[int, Field(ge=0, le=100)] = 2
