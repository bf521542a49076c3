"""The configuration of one trial: a frozen value with everything that decides the trial's result.

The recipe (`recipes.py`) gives every field its value; a caller overrides fields by dotted key.
The same value is logged, hashed and stored in the checkpoint.
"""

import dataclasses
import difflib
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from trainables.config import recipes
from trainables.config.conversion import REFUSED, convert
from trainables.config.ranges import RANGES
from trainables.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    name: str
    backbone: Literal["vgg-32", "vgg-16", "wrn-28-10", "wrn-50-2"]
    """The network that the model is built on: for 32-pixel images (`vgg-32`, `wrn-28-10`) or for ImageNet."""
    pretrained: Literal["none", "imagenet"]
    """Initial weights. `imagenet` needs a backbone with ImageNet weights, and `width` 1."""
    width: float
    """Scales every channel count; 1.0 is the paper's network."""
    dropout: float


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    name: str
    image_size: int
    """Side in pixels of the model's input."""
    stored_size: int
    """Side in pixels of the prepared images. If larger than `image_size`, training crops at random, evaluation at the
    centre."""
    train_images: int | None
    """Number of training images to use, after the validation images are set aside (None: all)."""
    val_images: int | None
    """Images of the training split set aside to select epochs and trials (None: a tenth)."""
    test_images: int | None
    split_seed: int
    normalization: Literal["cifar10", "cifar100", "half", "imagenet"]
    crop_padding: int
    crop_padding_mode: Literal["reflect", "zeros"]
    flip: bool


@dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    num_anchors: int
    """Q, used by the `-qt` models only."""
    lambda_q: float
    lambda_c: float
    quantizer_reduction: Literal["sum", "mean"]
    """How the squared norms of Eq. 10 run over the map's cells."""
    sigma_kernel: Literal[1, 3]
    sigma_offset: float
    modulation: Literal["residual", "product"]


@dataclass(frozen=True, kw_only=True)
class BottleneckConfig:
    latent_dim: int
    """K."""
    beta: float
    kl: Literal["exact", "released"]
    kl_scale: float
    units: Literal["nats", "bits"]
    """Units of cross-entropy and KL inside the loss; the quantiser terms have none."""


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    batch_size: int
    """Global batch, split over the workers."""
    algorithm: Literal["sgd", "adam"]
    lr: float
    momentum: float
    """Used by `sgd` only."""
    betas: tuple[float, ...]
    """Decay of the first and second moments; used by `adam` only."""
    weight_decay: float
    warmup_lrs: tuple[float, ...]
    """Learning rates of the first epochs, one each, before `lr` applies."""
    decay_factor: float
    decay_at_epochs: tuple[int, ...]
    """1-based epochs at which the rate is multiplied by `decay_factor`."""
    anchor_lr_ratio: float
    """Learning rate of the anchors divided by that of all other parameters; 0 freezes the anchors."""
    ema_decay: float
    """Decay, per step, of a moving average of the weights, which is evaluated too; 0: no average."""


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    batch_size: int
    attention_samples: int
    latent_samples: int
    search_attention_samples: int
    search_latent_samples: int
    interp_images: int | None
    """Test images scored at the end of a trial (None: all)."""
    interp_every_epochs: int
    """Also score the validation images every this many epochs; 0: only at the end."""
    interp_epoch_images: int
    interp_threshold: float
    occluder_dataset: str
    filtered_range: Literal["minmax", "clip"]


@dataclass(frozen=True, kw_only=True)
class NumericsConfig:
    precision: Literal["fp32", "bf16"]
    num_threads: int
    """CPU threads per worker. Changes the result, because it changes the order of sums."""
    channels_last: bool
    compile: bool
    deterministic: bool
    tf32: bool


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """A trial: model, data, loss, optimiser, evaluation, numerics, seed."""

    recipe: Literal["paper", "released"]
    epochs: int
    seed: int
    model: ModelConfig
    data: DataConfig
    attention: AttentionConfig
    bottleneck: BottleneckConfig
    optim: OptimConfig
    evaluation: EvaluationConfig
    numerics: NumericsConfig

    def __post_init__(self) -> None:
        for key, (holds, allowed) in RANGES.items():
            value = self.get(key)
            if value is not None and not holds(value):
                raise ConfigError(f"trial field '{key}' is {value!r}; allowed: {allowed}.")
        if self.data.stored_size < self.data.image_size:
            raise ConfigError(
                f"trial field 'data.stored_size' is {self.data.stored_size}; allowed: at least data.image_size "
                f"({self.data.image_size}), which is cropped out of it."
            )

    @staticmethod
    def from_dict(given: Mapping[str, Any]) -> "TrialConfig":
        """Builds a trial from nested or dotted keys; the recipe gives all other fields.

        `model: NAME` and `dataset: NAME` are short for `model.name` and `data.name`. A given `model.backbone` decides
        which values the recipe gives, and a given `data.image_size` decides the default of `data.stored_size`.
        Raises ConfigError for an unknown key (naming the nearest valid one) or a value of the wrong kind.
        """
        flat = flatten(given)
        unknown = [key for key in flat if key not in FIELD_TYPES]
        if unknown:
            raise ConfigError(unknown_key_message("trial field", unknown[0], FIELD_TYPES))
        name, model, data = (flat.get(key, default) for key, default in _IDENTITY_DEFAULTS.items())
        for key, value in zip(_IDENTITY_DEFAULTS, (name, model, data), strict=True):
            if not isinstance(value, str):
                raise ConfigError(f"trial field '{key}' is {value!r}; allowed: a name.")
        chosen: dict[str, Any] = {
            key: _coerce(key, flat[key]) for key in ("model.backbone", "data.image_size") if key in flat
        }
        resolved = {**recipes.recipe(name, model, data, chosen.get("model.backbone")), **_stored(data, chosen), **flat}
        return _trial({key: _coerce(key, value) for key, value in resolved.items()})

    def to_dict(self) -> dict[str, Any]:
        """Every field under its dotted key, tuples as lists, ready for JSON."""
        return {key: list(value) if isinstance(value := self.get(key), tuple) else value for key in FIELD_TYPES}

    def get(self, key: str) -> Any:
        """The value under a dotted key."""
        value: Any = self
        for part in key.split("."):
            value = getattr(value, part)
        return value

    def override(self, changes: Mapping[str, Any]) -> "TrialConfig":
        """A copy of this trial with other values under some dotted keys.

        The recipe is not applied again; only `data.stored_size` follows a given `data.image_size`.
        """
        flat = flatten(changes)
        for key in flat:
            if key not in FIELD_TYPES:
                raise ConfigError(unknown_key_message("trial field", key, FIELD_TYPES))
        given = {key: _coerce(key, value) for key, value in flat.items()}
        return _trial({**{key: self.get(key) for key in FIELD_TYPES}, **_stored(self.data.name, given), **given})

    @property
    def quantized(self) -> bool:
        return self.model.name.endswith("-qt")


_IDENTITY_DEFAULTS = {"recipe": "paper", "model.name": "vgg-aib-qt", "data.name": "cluttered-digits"}
_SHORT = {"model": "model.name", "dataset": "data.name", "data": "data.name"}


def flatten(given: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turns nested or dotted keys into one flat mapping of dotted keys; ConfigError if a field is given twice."""
    flat: dict[str, Any] = {}
    for key, value in given.items():
        if not isinstance(key, str):
            raise ConfigError(f"trial field {key!r} is not a name; write dotted keys such as bottleneck.beta.")
        path = prefix + key
        nested = isinstance(value, Mapping)
        parts = flatten(value, path + ".") if nested else {_SHORT.get(path, path): value}
        for name, part in parts.items():
            if name in flat:
                raise ConfigError(f"trial field '{name}' is given twice; keep one of the two.")
            flat[name] = part
    return flat


def unknown_key_message(what: str, key: str, valid: typing.Iterable[str]) -> str:
    """One sentence that names the unknown key and the nearest valid one."""
    names = [*valid, *_SHORT]
    leaf = key.rsplit(".", 1)[-1]
    near = [name for name in names if name.rsplit(".", 1)[-1] == leaf] or difflib.get_close_matches(key, names, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"allowed: {', '.join(sorted(names))}."
    return f"unknown {what} '{key}'; {hint}"


def _field_types(cls: type, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        kind = hints[field.name]
        if dataclasses.is_dataclass(kind):
            found.update(_field_types(typing.cast(type, kind), f"{prefix}{field.name}."))
        else:
            found[prefix + field.name] = kind
    return found


FIELD_TYPES: dict[str, Any] = _field_types(TrialConfig)
"""Dotted key -> type of every field of a trial."""


def _stored(dataset: str, chosen: Mapping[str, Any]) -> dict[str, int]:
    size = chosen.get("data.image_size")
    return {} if size is None else {"data.stored_size": recipes.stored_size(dataset, size)}


def _trial(flat: Mapping[str, Any]) -> TrialConfig:
    built: TrialConfig = _build(TrialConfig, flat, "")
    return built


def _build(cls: Any, flat: Mapping[str, Any], prefix: str) -> Any:
    hints = typing.get_type_hints(cls)
    values = {}
    for field in dataclasses.fields(cls):
        kind, path = hints[field.name], prefix + field.name
        values[field.name] = _build(kind, flat, path + ".") if dataclasses.is_dataclass(kind) else flat[path]
    return cls(**values)


def _coerce(key: str, value: Any) -> Any:
    kind = FIELD_TYPES[key]
    converted, allowed = convert(kind, value)
    if converted is REFUSED:
        raise ConfigError(f"trial field '{key}' is {value!r}; allowed: {allowed}.")
    return converted
