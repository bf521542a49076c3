"""Plans a search before anything starts: trials, how many at a time, epochs, hours."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.planning.capacity import Capacity, Need, Node, num_slots
from orchestrator.planning.check import Check
from orchestrator.planning.cost import LowHigh, Part, wall_seconds, worker_seconds
from orchestrator.planning.signature import spec_signature
from orchestrator.planning.trials import INTERP_EVERY, check_trials, interp_metrics, models_in_play
from search_spaces.schema import SearchSpec
from search_spaces.section_rules import grid_size
from trainables.config.trial import TrialConfig
from trainables.errors import ConfigError
from trainables.models.traits import fields_without_effect


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a search will do and cost on a given cluster."""

    spec: SearchSpec
    signature: str
    trial: TrialConfig
    """The trial section over its recipe; fields of the space have the recipe's value here."""
    forced: dict[str, Any]
    """Fields of the trial that the search must change, with their new values."""
    capacity: Capacity
    retrain_capacity: Capacity
    """Equals `capacity` unless `finalists.workers_per_trial` is a range."""
    rung_epochs: tuple[int, ...]
    """Epochs after which a trial may be stopped."""
    search_epochs: LowHigh
    """Of all search trials together: low if each rung keeps only its best trials, high if all trials run in full."""
    num_finalists: int
    seconds_per_epoch: float | None
    checks: tuple[Check, ...]

    @property
    def epochs(self) -> int:
        """Epochs of one full trial."""
        return self.trial.epochs

    @property
    def slots(self) -> int:
        return self.capacity.slots

    @property
    def finalist_epochs(self) -> int:
        return self.num_finalists * self.epochs

    @property
    def total_epochs(self) -> LowHigh:
        return self.search_epochs.plus(LowHigh(self.finalist_epochs, self.finalist_epochs))

    @property
    def worker_hours(self) -> LowHigh | None:
        if self.seconds_per_epoch is None:
            return None
        workers, epoch_s = self.spec.resources.workers_per_trial, self.seconds_per_epoch
        search, finalists = (worker_seconds(part, workers, epoch_s) for part in self._parts())
        return search.plus(finalists).times(1 / 3600)

    @property
    def gpu_hours(self) -> LowHigh | None:
        return self.worker_hours and self.worker_hours.times(self.spec.resources.gpus_per_worker)

    @property
    def wall_hours(self) -> LowHigh | None:
        if self.seconds_per_epoch is None:
            return None
        workers, epoch_s = self.spec.resources.workers_per_trial, self.seconds_per_epoch
        search, finalists = (wall_seconds(part, self.epochs, workers, epoch_s) for part in self._parts())
        return search.plus(finalists).times(1 / 3600)

    def _parts(self) -> tuple[Part, Part]:
        finalist_epochs = LowHigh(self.finalist_epochs, self.finalist_epochs)
        return (
            Part(self.spec.trials, self.search_epochs, self.capacity.shape),
            Part(self.num_finalists, finalist_epochs, self.retrain_capacity.shape),
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the object of `aib plan --json`; hours are null where the time of an epoch is unknown."""
        hours = {name: getattr(self, name) for name in ("worker_hours", "gpu_hours", "wall_hours")}
        return {
            "study": self.spec.name,
            "spec_signature": self.signature,
            "trial": self.trial.to_dict(),
            "forced": self.forced,
            "space": {key: distribution.describe() for key, distribution in self.spec.space.items()},
            "trials": self.spec.trials,
            "slots": self.slots,
            "limited_by": self.capacity.limited_by,
            "capacity": self.capacity.explanation,
            "finalist_workers": list(self.retrain_capacity.shape),
            "finalist_capacity": self.retrain_capacity.explanation,
            "epochs_per_trial": self.epochs,
            "rung_epochs": list(self.rung_epochs),
            "epochs": {
                "search": self.search_epochs._asdict(),
                "finalists": self.finalist_epochs,
                "total": self.total_epochs._asdict(),
            },
            "seconds_per_epoch": self.seconds_per_epoch,
            **{name: value and value._asdict() for name, value in hours.items()},
            "checks": [check._asdict() for check in self.checks],
        }

    def render(self) -> str:
        """Returns plain lines for the terminal."""
        spec, rule = self.spec, self.spec.scheduler
        width = max((len(key) for key in spec.space), default=0)
        stopping = f"asha on {rule.metric} after epochs {_numbers(self.rung_epochs)}" if self.rung_epochs else "none"
        lines = [
            f"{spec.name}  (signature {self.signature})",
            f"trial      {self.trial.model.name} on {self.trial.data.name}, recipe {self.trial.recipe}, "
            f"epochs {self.epochs}",
            *(f"  {key} = {value}, since the search steers by it" for key, value in self.forced.items()),
            "space" if spec.space else "space      nothing varies",
            *(f"  {key:<{width}}  {distribution.describe()}" for key, distribution in spec.space.items()),
            f"trials     {spec.trials}, proposed by {spec.sampler.name}, {len(spec.first)} given first",
            f"stopping   {stopping}",
            f"finalists  {self._finalists_text()}",
            f"slots      {self.slots}: {self.capacity.explanation}",
            f"epochs     search {_span(self.search_epochs)}, finalists {self.finalist_epochs}, "
            f"together {_span(self.total_epochs)}",
            f"hours      {self._hours_text()}",
        ]
        lines += [f"{'ok  ' if check.ok else 'note'}       {check.name}: {check.message}" for check in self.checks]
        return "\n".join(lines)

    def _finalists_text(self) -> str:
        asked = self.spec.finalists
        if not self.num_finalists:
            return "none: no model is judged or registered"
        workers = f", {self.retrain_capacity.explanation}" if asked.worker_range else ""
        return f"{min(asked.top, self.spec.trials)} x {asked.seeds} seeds{workers}"

    def _hours_text(self) -> str:
        if not (self.worker_hours and self.gpu_hours and self.wall_hours):
            return "not known; give the time of one epoch with --seconds-per-epoch"
        gpus = f", {_span(self.gpu_hours)} GPU-hours" if self.spec.resources.gpus_per_worker else ""
        return f"{_span(self.wall_hours)} by the clock, {_span(self.worker_hours)} worker-hours{gpus}"


def make_plan(
    spec: SearchSpec,
    nodes: Iterable[Node],
    seconds_per_epoch: float | None = None,
    checks: Iterable[Check] = (),
) -> Plan:
    """Plans a search on a cluster of `nodes`; the plan also lists the given `checks`.

    `seconds_per_epoch` is the time that one worker group needs for one epoch. Raises ConfigError where the spec makes
    no valid trials, and PreflightError where the cluster cannot hold one trial.
    """
    if seconds_per_epoch is not None and not 0 < seconds_per_epoch < 1e9:
        raise ConfigError(f"seconds per epoch is {seconds_per_epoch}; allowed: above 0.")
    trial = check_trials(spec)
    cluster = list(nodes)
    rungs = rung_epochs(spec, trial.epochs)
    forced = {} if not interp_metrics(spec) else _forced(spec, trial)
    return Plan(
        spec=spec,
        signature=spec_signature(spec),
        trial=trial,
        forced=forced,
        capacity=capacity_for(spec, cluster),
        retrain_capacity=retrain_capacity_for(spec, cluster),
        rung_epochs=rungs,
        search_epochs=search_epochs(spec.trials, trial.epochs, rungs, spec.scheduler.reduction_factor),
        num_finalists=_num_finalists(spec),
        seconds_per_epoch=seconds_per_epoch,
        checks=(*checks, *_notes(spec, trial)),
    )


def check_capacity(spec: SearchSpec, nodes: Sequence[Node]) -> None:
    """Raises PreflightError where these nodes can never hold one trial, or one retraining of a finalist."""
    capacity_for(spec, nodes)
    retrain_capacity_for(spec, nodes)


def capacity_for(spec: SearchSpec, nodes: Iterable[Node]) -> Capacity:
    """Returns the search's slots on these nodes; raises PreflightError where none fits."""
    asked = spec.resources
    need = Need(asked.workers_per_trial, asked.cpus_per_worker, asked.gpus_per_worker, asked.placement)
    return num_slots(nodes, need, asked.max_concurrent)


def one_worker_capacity(spec: SearchSpec, nodes: Iterable[Node]) -> Capacity:
    """Returns the one slot of one worker that measures a model; raises PreflightError where it does not fit."""
    asked = spec.resources
    need = Need(1, asked.cpus_per_worker, asked.gpus_per_worker, asked.placement, field="resources.cpus_per_worker")
    return num_slots(nodes, need, 1)


def retrain_capacity_for(spec: SearchSpec, nodes: Iterable[Node]) -> Capacity:
    """Returns the slots for retraining, at most one per retraining; raises PreflightError where none fits."""
    if spec.finalists.worker_range is None or not _num_finalists(spec):
        return capacity_for(spec, nodes)
    (least, most), asked = spec.finalists.worker_range, spec.resources
    need = Need(
        least, asked.cpus_per_worker, asked.gpus_per_worker, asked.placement, most, "finalists.workers_per_trial"
    )
    capacity = num_slots(nodes, need, asked.max_concurrent)
    return capacity._replace(shape=capacity.shape[: _num_finalists(spec)])


def rung_epochs(spec: SearchSpec, epochs: int) -> tuple[int, ...]:
    """Returns the epochs at which ASHA compares trials: grace x reduction^k, below the last epoch."""
    if spec.scheduler.name == "none":
        return ()
    rungs, rung = [], spec.scheduler.grace_epochs
    while rung < epochs:
        rungs.append(rung)
        rung *= spec.scheduler.reduction_factor
    return tuple(rungs)


def search_epochs(trials: int, epochs: int, rungs: tuple[int, ...], reduction_factor: int) -> LowHigh:
    """Returns the epochs of all trials: low if each rung keeps one in `reduction_factor`, high if each keeps all."""
    low, before, alive = 0, 0, trials
    for rung in (*rungs, epochs):
        low += alive * (rung - before)
        before, alive = rung, max(1, alive // reduction_factor)
    return LowHigh(low, trials * epochs)


def _num_finalists(spec: SearchSpec) -> int:
    return min(spec.finalists.top, spec.trials) * spec.finalists.seeds


def _forced(spec: SearchSpec, trial: TrialConfig) -> dict[str, Any]:
    as_given = TrialConfig.from_dict(spec.trial)
    return {INTERP_EVERY: trial.get(INTERP_EVERY)} if as_given.get(INTERP_EVERY) != trial.get(INTERP_EVERY) else {}


def _notes(spec: SearchSpec, trial: TrialConfig) -> list[Check]:
    """Returns checks of settings that are allowed but seldom intended."""
    notes, rule = [], spec.scheduler
    first_drop = min((epoch for epoch in trial.optim.decay_at_epochs if epoch <= trial.epochs), default=None)
    if rule.name == "asha" and first_drop is not None and rule.grace_epochs < first_drop - 1:
        message = (
            f"trials may be stopped after epoch {rule.grace_epochs}, before the learning rate first falls at epoch "
            f"{first_drop}; early ranks may mislead (scheduler.grace_epochs)"
        )
        notes.append(Check("grace", False, message))
    points = grid_size(spec.space) if spec.space else None
    if points is not None and points < spec.trials:
        message = (
            f"the space has {points} different points for {spec.trials} trials; all trials have the seed "
            f"{trial.seed}, so a point that is drawn again gives the same result again (set trials to {points} and "
            "sampler to grid, or widen the space)"
        )
        notes.append(Check("trials", False, message))
    for section, keys in (("space", spec.space), ("trial", spec.trial)):
        idle = _without_effect(spec, keys)
        if idle:
            named = "; ".join(f"{key} ({why})" for key, why in idle.items())
            notes.append(Check(section, False, f"without effect, drop from {section}: {named}"))
    return notes


def _without_effect(spec: SearchSpec, keys: Iterable[str]) -> dict[str, str]:
    """Returns the given fields that change nothing in any trial, each with the reason."""
    lacking = {model: fields_without_effect(model) for model in models_in_play(spec)}
    return {
        key: ", ".join(f"{model} has {fields[key]}" for model, fields in lacking.items())
        for key in keys
        if all(key in fields for fields in lacking.values())
    }


def _span(span: LowHigh) -> str:
    return _number(span.low) if span.low == span.high else f"{_number(span.low)} to {_number(span.high)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _numbers(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values))
