"""The names of all metrics: `{split}_{quantity}_{unit}`, logged with step = epoch."""

from trainables.models.traits import Traits

PER_EPOCH = (
    "train_loss",
    "train_nll",
    "train_kl_nats",
    "train_codebook",
    "train_commitment",
    "train_auxiliary_nll",
    "val_error_pct",
    "test_error_pct",
    "val_nll",
    "val_kl_nats",
    "val_attention_std",
    "val_attention_entropy",
    "images_per_s",
    "epoch_s",
    "num_workers",
    "lr",
)
"""Reported after every epoch, if the model has them (`searchable`). Losses are per image. `val_attention_std` is a
map's standard deviation over its cells, `val_attention_entropy` the entropy of the map normalised to sum 1, divided by
ln(H W) (1 is flat); both are means over images."""

OCCLUSION_SIZES_PX = (4, 8, 12, 16)
HIGH_RADIUS, LOW_RADIUS = 4, 12

COLOR_OCCLUSIONS = tuple(f"interp_color_p{p}" for p in OCCLUSION_SIZES_PX)
IMAGE_OCCLUSIONS = tuple(f"interp_svhn_p{p}" for p in OCCLUSION_SIZES_PX)
HIGH_FREQUENCIES, LOW_FREQUENCIES = f"interp_high_r{HIGH_RADIUS}", f"interp_low_r{LOW_RADIUS}"
MODIFICATIONS = (*COLOR_OCCLUSIONS, *IMAGE_OCCLUSIONS, HIGH_FREQUENCIES, LOW_FREQUENCIES)
"""The ten modifications of Table 2. `NAME_pct` is the score under the paper's reading (min-max maps),
`NAME_consistent_pct` the share of prediction-consistent samples."""

INTERP_READINGS = ("minmax", "raw", "centered")
"""How two maps are compared (`interpretability.consistency`). `minmax` compares with the paper and has no infix."""
INTERP_CHANCE = "interp_chance"
"""Subject of the control: compares maps of different clean images, not of one image and its modification."""
INTERP_CURVE = {"t85_pct": 0.85, "t90_pct": 0.9, "t95_pct": 0.95}
"""Quantity -> threshold on the cosine; an unused list in the released code."""


def interp_metric(subject: str, reading: str, quantity: str = "pct") -> str:
    """Name of one agreement metric: `{subject}_{reading_}{quantity}`, for chance `interp_{reading_}chance_{quantity}`.

    subject: one of MODIFICATIONS or INTERP_CHANCE. quantity: `pct` (share at `evaluation.interp_threshold`), a key of
    INTERP_CURVE (share at that threshold) or `mean_cosine`.
    """
    infix = "" if reading == "minmax" else f"{reading}_"
    return f"interp_{infix}chance_{quantity}" if subject == INTERP_CHANCE else f"{subject}_{infix}{quantity}"


INTERP_MEANS = {"minmax": "interpretability_pct", "raw": "interp_raw_pct", "centered": "interp_centered_pct"}
"""Reading -> name of the mean of the ten scores."""

INTERP_MAPS = ("interp_map_std", "interp_map_variation", "interp_map_entropy")
"""Contrast of the clean maps, means over images: standard deviation over the cells; the same divided by the map's mean;
entropy divided by ln(H W). A nearly constant map scores 100 % for any image."""

INTERP_SUMMARY = (
    *INTERP_MEANS.values(),
    *(interp_metric(INTERP_CHANCE, reading) for reading in INTERP_READINGS),
    *INTERP_MAPS,
)

INTERPRETABILITY = (
    *INTERP_SUMMARY,
    *(f"{name}_consistent_pct" for name in MODIFICATIONS),
    *(
        interp_metric(subject, reading, quantity)
        for subject in (*MODIFICATIONS, INTERP_CHANCE)
        for reading in INTERP_READINGS
        for quantity in ("pct", *INTERP_CURVE, "mean_cosine")
        if (subject, quantity) != (INTERP_CHANCE, "pct")
    ),
)
"""All metrics that `interpretability.score` returns."""

INTERP_FURTHER_SUMMARY = (*INTERP_MEANS.values(), *INTERP_MAPS)
INTERP_FURTHER = (*INTERP_FURTHER_SUMMARY, *(interp_metric(name, "minmax") for name in MODIFICATIONS))
"""Metrics of a model's further maps, each prefixed with the map's name and a slash (`of_map`)."""


def of_map(name: str, metric: str) -> str:
    """`l2/interp_centered_pct`: a metric of a map other than the model's headline map."""
    return f"{name}/{metric}"


def without_map(metric: str) -> str:
    """The inverse: the metric without the map's name."""
    return metric.rsplit("/", 1)[-1]


def on_test(metric: str) -> str:
    """The same metric on test images: `test_interp_centered_pct`, for a further map `l2/test_interp_centered_pct`."""
    head, slash, name = metric.rpartition("/")
    return f"{head}{slash}test_{name}"


FINAL = (
    "best_epoch",
    "final_val_error_pct",
    "final_val_nll",
    "final_val_attention_std",
    "final_test_error_pct",
    "final_test_nll",
    "test_error_top5_pct",
    "best_test_epoch_error_pct",
    "inference_ms_per_image",
)
"""Reported once, with the last epoch: many-sample evaluation of the weights of the best validation epoch.
`best_test_epoch_error_pct` is the paper's convention, the lowest test error of any epoch. `inference_ms_per_image` is
the time of a batch of one image with one draw of each kind, on the trial's device."""

LOCALIZATION = (
    "attention_in_mask_pct",
    "mask_area_pct",
    "attention_in_mask_ratio",
    "attention_in_mask_minmax_pct",
    "attention_in_mask_minmax_ratio",
)
"""Share of the attention inside the object's mask, the mask's share of the area, and the first divided by the second;
the same with each map min-max scaled to [0, 1], because learned maps are mostly on."""

VAL_LOCALIZATION = "val_attention_in_mask_ratio"
"""`attention_in_mask_ratio` on validation images after every epoch, if the data has masks."""

CROSS_DOMAIN_READINGS = ("", "index_", "shared_")
"""How a prediction on another data set is judged: by class name, where a class that the model lacks is always an
error; by label number, as the STL10 columns of Table 1 imply; by class name over images of the shared classes only."""


def cross_domain_metric(dataset: str, split: str, reading: str) -> str:
    """Name of one error of a model on another data set; reading: one of CROSS_DOMAIN_READINGS."""
    return f"{dataset}_{split}_{reading}error_pct"


CROSS_DOMAIN = tuple(
    cross_domain_metric("stl10", split, reading) for split in ("train", "test") for reading in CROSS_DOMAIN_READINGS
)
"""Reported with FINAL by models trained on CIFAR-10 if STL-10 is prepared at their image size."""

RAW_AND_AVERAGED = ("val_raw_error_pct", "val_ema_error_pct", "test_raw_error_pct", "test_ema_error_pct")
"""Reported after every epoch if `optim.ema_decay` is above 0: the errors of the raw and of the averaged weights. The
plain names then belong to the weights with the lower validation error; these may be kept as the best."""

SEARCHABLE = (*PER_EPOCH, VAL_LOCALIZATION, *INTERP_SUMMARY)
"""Metrics that are known after every epoch. An objective, a constraint or a scheduler may name them, except ON_TEST."""

ON_TEST = ("test_error_pct",)
"""Shown, and never searched by: what was selected on the test images would look better on them than it is."""

_OF_BOTTLENECK = ("train_kl_nats", "val_kl_nats")
_OF_QUANTIZER = ("train_codebook", "train_commitment")
_OF_SECOND_HEAD = ("train_auxiliary_nll",)
_OF_MAP = ("val_attention_std", "val_attention_entropy", VAL_LOCALIZATION, *INTERP_SUMMARY)


def searchable(has: Traits) -> tuple[str, ...]:
    """The metrics of SEARCHABLE that a model reports, plus those of its further maps.

    A metric of a part that the model lacks is absent from its reports, not 0.
    """
    absent = {
        *(() if has.maps else _OF_MAP),
        *(() if has.latent else _OF_BOTTLENECK),
        *(() if has.quantized else _OF_QUANTIZER),
        *(() if has.auxiliary else _OF_SECOND_HEAD),
    }
    further = (of_map(name, metric) for name in has.maps[1:] for metric in INTERP_FURTHER_SUMMARY)
    return (*(metric for metric in SEARCHABLE if metric not in absent), *further)
