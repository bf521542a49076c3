"""The gate: decides whether a finalist becomes the champion, and states the reason for each of its rules.

The decision is a pure function. It compares validation metrics only, never test metrics.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from orchestrator.registry.binomial import binomial_tail


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The metrics of a configuration retrained over several seeds, and of the one model that would be registered."""

    name: str
    val_error_pct: float
    """Mean over the seeds, from the many-sample evaluation."""
    val_error_std_pct: float | None
    """Sample standard deviation over the seeds; None for a single seed."""
    num_seeds: int
    interp_centered_pct: float | None
    """Like the next two fields, None for a model without spatial maps."""
    interp_centered_chance_pct: float | None
    """The same score between maps of different images: near 100 for maps that ignore the image."""
    attention_std: float | None
    """Standard deviation of the registered model's headline maps on validation images."""
    data_digest: str
    """Digest of the prepared data set, as in the version's tag `aib.data_digest`."""
    recorded_error_pct: float
    """Validation error of the registered model, as recorded by its trial."""
    reloaded_error_pct: float
    """The same error, measured again on the exported files."""
    num_val_images: int | None = None
    """Like the next field, None for a champion of a version that did not record it."""
    constant_error_pct: float | None = None
    """Validation error of always answering the most frequent class."""
    split_seed: int | None = None
    """Chooses, with the next field, the validation images of the data set. None for a candidate of an earlier version,
    whose `data_digest` is the value of `images_digest`."""
    asked_val_images: int | None = None
    """The trial's `data.val_images`."""

    @property
    def images_digest(self) -> str:
        """Identifies the validation images; errors on other images are not comparable."""
        if self.split_seed is None:
            return self.data_digest
        chosen = json.dumps([self.data_digest, self.split_seed, self.asked_val_images])
        return hashlib.sha256(chosen.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class GateRules:
    error_margin_pct: float = 0.0
    interpretability_margin_pct: float = 2.0
    min_attention_std: float = 0.02
    max_centered_chance_pct: float = 50.0
    """Above this, most unrelated images have the same map, so a high score says nothing about the image."""
    reload_tolerance_pct: float = 0.1
    """Allows for other hardware: there the same weights may classify a borderline image differently."""
    max_chance: float = 0.05
    """Allowed probability that the constant answer is right as often as the model; 1 allows any model."""


class Reason(NamedTuple):
    rule: str
    passed: bool
    text: str


@dataclass(frozen=True)
class GateDecision:
    promote: bool
    reasons: tuple[Reason, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"promote": self.promote, "reasons": [reason._asdict() for reason in self.reasons]}


def decide(challenger: Candidate, champion: Candidate | None, rules: GateRules) -> GateDecision:
    """Promotes the challenger only if every rule holds. Without a champion, no comparison is made.

    Error rule: the challenger's mean may exceed the champion's by at most the larger of two values, the margin and the
    standard error of the difference of the two means, sqrt(s1^2 / n1 + s2^2 / n2).
    """
    reasons = [
        _finite(challenger),
        _above_chance(challenger, rules),
        _alive(challenger, rules),
        _depends(challenger, rules),
        _reload(challenger, rules),
    ]
    if champion is None:
        reasons.append(Reason("champion", True, "there is no champion yet"))
    elif champion.images_digest != challenger.images_digest:
        text = (
            f"the champion {champion.name} was validated on other images ({_difference(champion, challenger)}), so the "
            "errors cannot be compared; register under another name"
        )
        reasons.append(Reason("data", False, text))
    else:
        reasons += [_error(challenger, champion, rules), _interpretability(challenger, champion, rules)]
    return GateDecision(all(reason.passed for reason in reasons), tuple(reasons))


def refuse(rule: str, text: str) -> GateDecision:
    """Refuses before anything can be compared."""
    return GateDecision(False, (Reason(rule, False, text),))


def _difference(old: Candidate, new: Candidate) -> str:
    """Says how the validation images of two candidates differ."""
    if old.split_seed is None or new.split_seed is None:
        return f"digest {old.images_digest[:12]}, not {new.images_digest[:12]}"
    if old.data_digest != new.data_digest:
        return f"data digest {old.data_digest[:12]}, not {new.data_digest[:12]}"
    return (
        f"split seed {old.split_seed} and {old.asked_val_images} images, not {new.split_seed} and "
        f"{new.asked_val_images}"
    )


def _finite(c: Candidate) -> Reason:
    figures: Mapping[str, Any] = {k: v for k, v in c.to_dict().items() if isinstance(v, float)}
    broken = [name for name, value in figures.items() if not math.isfinite(value)]
    return Reason("finite", not broken, f"not finite: {', '.join(broken)}" if broken else "every figure is finite")


def _above_chance(c: Candidate, rules: GateRules) -> Reason:
    """One-sided exact binomial test of the registered model against the most frequent class."""
    if c.constant_error_pct is None or c.num_val_images is None:
        return Reason("above-chance", True, f"not checked: {c.name} has no record of its validation images")
    if not math.isfinite(c.recorded_error_pct):
        return Reason("above-chance", False, f"the validation error is {c.recorded_error_pct}")
    right = round(c.num_val_images * (1 - c.recorded_error_pct / 100))
    chance = binomial_tail(right, c.num_val_images, 1 - c.constant_error_pct / 100)
    text = (
        f"validation error {c.recorded_error_pct:.2f} % on {c.num_val_images} images; always answering the most "
        f"frequent class has {c.constant_error_pct:.2f} %, and is right as often with probability {chance:.2g}, "
        f"allowed at most {rules.max_chance:g}"
    )
    return Reason("above-chance", chance <= rules.max_chance, text)


def _alive(c: Candidate, rules: GateRules) -> Reason:
    if c.attention_std is None:
        return Reason("alive", True, f"not checked: {c.name} has no spatial map")
    text = f"attention map's standard deviation {c.attention_std:.4f}, required at least {rules.min_attention_std:g}"
    return Reason("alive", c.attention_std >= rules.min_attention_std, text)


def _depends(c: Candidate, rules: GateRules) -> Reason:
    chance = c.interp_centered_chance_pct
    if chance is None:
        return Reason("image-dependent", True, f"not checked: {c.name} has no spatial map")
    text = f"maps of different images agree in {chance:.1f} %, allowed at most {rules.max_centered_chance_pct:g} %"
    return Reason("image-dependent", chance <= rules.max_centered_chance_pct, text)


def _reload(c: Candidate, rules: GateRules) -> Reason:
    difference = abs(c.reloaded_error_pct - c.recorded_error_pct)
    text = f"reloaded files give {c.reloaded_error_pct:.4f} % validation error, recorded {c.recorded_error_pct:.4f} %, "
    text += f"tolerance {rules.reload_tolerance_pct:g}"
    return Reason("reload", difference <= rules.reload_tolerance_pct, text)


def _error(new: Candidate, old: Candidate, rules: GateRules) -> Reason:
    spread = math.sqrt(sum((c.val_error_std_pct or 0.0) ** 2 / c.num_seeds for c in (new, old)))
    margin = max(rules.error_margin_pct, spread)
    text = (
        f"validation error {new.val_error_pct:.2f} % over {new.num_seeds} seeds, champion "
        f"{old.val_error_pct:.2f} % over {old.num_seeds} seeds, margin {margin:.2f}"
    )
    return Reason("error", new.val_error_pct <= old.val_error_pct + margin, text)


def _interpretability(new: Candidate, old: Candidate, rules: GateRules) -> Reason:
    if old.interp_centered_pct is None:
        return Reason("interpretability", True, f"not compared: the champion {old.name} has no spatial map")
    if new.interp_centered_pct is None:
        text = (
            f"{new.name} has no spatial map, but the champion's users rely on its maps "
            f"({old.interp_centered_pct:.1f} %, mean-centred); register it under another name"
        )
        return Reason("interpretability", False, text)
    text = (
        f"interpretability (mean-centred) {new.interp_centered_pct:.1f} %, champion "
        f"{old.interp_centered_pct:.1f} %, margin {rules.interpretability_margin_pct:g}"
    )
    kept = new.interp_centered_pct >= old.interp_centered_pct - rules.interpretability_margin_pct
    return Reason("interpretability", kept, text)
