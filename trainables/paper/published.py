"""Published numbers of the article's Tables 1 to 4, keyed by our names of models, data sets and modifications."""

from typing import NamedTuple

from trainables.metrics import MODIFICATIONS

TABLE_1_COLUMNS = ("cifar10", "cifar100", "cub200", "svhn", "stl10-train", "stl10-test")

# Table 1: top-1 error in percent; None where the article gives none.
_ERRORS_PCT: dict[str, tuple[float | None, ...]] = {
    "vgg": (7.77, 30.62, 34.64, 4.27, 54.66, 55.09),
    "vgg-gap": (9.87, 31.77, 29.50, 5.84, 56.76, 57.24),
    "vgg-pan": (6.29, 24.35, 31.46, 8.02, 52.50, 52.79),
    "vgg-dvib": (4.64, 22.88, 23.94, 3.28, 51.40, 51.60),
    "wrn": (4.00, 19.25, 26.50, None, None, None),
    "vgg-att2": (5.23, 23.19, 26.80, 3.74, 51.24, 51.71),
    "vgg-att3": (6.34, 22.97, 26.95, 3.52, 51.58, 51.68),
    "wrn-abn": (3.92, 18.12, None, 2.88, 50.90, 51.24),
    "vgg-aib": (4.28, 21.56, 23.73, 3.24, 50.64, 51.24),
    "vgg-aib-qt": (4.10, 20.87, 21.83, 3.07, 50.44, 51.16),
    "wrn-aib": (3.60, 17.82, 17.26, 2.76, 50.08, 50.84),
    "wrn-aib-qt": (3.43, 17.64, 15.50, 2.69, 50.34, 50.49),
}

# Table 2, percent: colour p = 4, 8, 12, 16, SVHN images p = 4, 8, 12, 16, r > 4, r < 12; the order of MODIFICATIONS.
_SCORES_PCT: dict[tuple[str, str], tuple[float, ...]] = {
    ("vgg-att3", "cifar10"): (91.46, 79.61, 37.71, 7.12, 90.97, 75.70, 36.74, 6.51, 83.06, 49.61),
    ("vgg-att3", "cifar100"): (52.92, 39.93, 25.40, 14.56, 82.08, 63.16, 39.07, 21.03, 3.69, 50.90),
    ("vgg-aib", "cifar10"): (99.22, 99.69, 93.78, 20.59, 98.59, 97.52, 97.35, 72.86, 99.91, 53.26),
    ("vgg-aib", "cifar100"): (98.88, 98.56, 95.92, 22.70, 98.73, 96.70, 96.69, 93.02, 99.78, 79.13),
    ("vgg-aib-qt", "cifar10"): (99.26, 99.79, 91.10, 18.36, 98.65, 98.04, 97.85, 78.82, 99.96, 73.52),
    ("vgg-aib-qt", "cifar100"): (99.18, 99.30, 94.59, 20.54, 99.12, 97.64, 97.21, 94.79, 99.60, 79.70),
    ("wrn-abn", "cifar10"): (90.76, 65.01, 33.89, 13.24, 90.40, 68.41, 38.46, 16.55, 38.14, 36.33),
    ("wrn-abn", "cifar100"): (89.74, 61.38, 30.56, 9.67, 92.77, 63.67, 30.57, 9.47, 14.04, 25.43),
    ("wrn-aib", "cifar10"): (99.95, 93.94, 45.17, 6.69, 99.94, 97.34, 81.98, 47.65, 78.96, 84.58),
    ("wrn-aib", "cifar100"): (99.86, 95.35, 64.27, 17.15, 99.90, 97.77, 89.37, 62.64, 90.44, 94.18),
    ("wrn-aib-qt", "cifar10"): (99.84, 84.18, 28.94, 4.64, 99.91, 96.05, 70.75, 28.35, 72.05, 76.53),
    ("wrn-aib-qt", "cifar100"): (99.97, 97.07, 69.51, 25.80, 99.95, 98.52, 89.00, 63.10, 94.13, 93.17),
}

TABLE_3_INPUTS: dict[tuple[int, int], tuple[str, ...]] = {
    (32, 10): ("cifar10", "svhn"),
    (32, 100): ("cifar100",),
    (224, 200): ("cub200",),
}
"""(Side of the input in pixels, number of classes) -> data sets of that shape. Each shape is a row of Table 3."""

# Tables 3 and 4 by (side of the input in pixels, number of classes): millions of parameters; "FLOPs" in G and ms per
# image for the AIB models.
_PARAMETERS_M: dict[tuple[int, int], dict[str, float]] = {
    (32, 10): {
        "vgg-att3": 19.86,
        "vgg-aib": 20.05,
        "vgg-aib-qt": 20.05,
        "wrn-abn": 64.35,
        "wrn-aib": 65.00,
        "wrn-aib-qt": 65.00,
    },
    (32, 100): {
        "vgg-att3": 19.99,
        "vgg-aib": 20.07,
        "vgg-aib-qt": 20.07,
        "wrn-abn": 64.48,
        "wrn-aib": 65.11,
        "wrn-aib-qt": 65.11,
    },
    (224, 200): {"vgg-aib": 24.28, "vgg-aib-qt": 24.28, "wrn-aib": 130.73, "wrn-aib-qt": 130.73},
}
_COSTS: dict[tuple[int, int], dict[str, tuple[float, float]]] = {
    (32, 10): {
        "vgg-aib": (3.79, 3.43),
        "vgg-aib-qt": (3.79, 3.68),
        "wrn-aib": (39.14, 8.53),
        "wrn-aib-qt": (39.14, 8.55),
    },
    (32, 100): {
        "vgg-aib": (3.79, 3.51),
        "vgg-aib-qt": (3.79, 3.70),
        "wrn-aib": (39.20, 8.60),
        "wrn-aib-qt": (39.20, 8.84),
    },
    (224, 200): {
        "vgg-aib": (16.75, 3.58),
        "vgg-aib-qt": (16.75, 3.81),
        "wrn-aib": (50.97, 10.47),
        "wrn-aib-qt": (50.97, 10.66),
    },
}


class PublishedSize(NamedTuple):
    """One model's row of Tables 3 and 4; None: the article gives no number."""

    parameters_M: float
    flops_G: float | None
    """Multiply-accumulates of one draw of a and one of z, as the article counted them."""
    ms_per_image: float | None
    """On one TITAN Xp."""


def published_error_pct(model: str, dataset: str) -> float | None:
    """Error in Table 1, or None; `stl10-train` and `stl10-test` are errors of models trained on CIFAR-10."""
    row = dict(zip(TABLE_1_COLUMNS, _ERRORS_PCT.get(model, ()), strict=False))
    return row.get(dataset)


def published_interpretability_pct(model: str, dataset: str) -> dict[str, float]:
    """The ten scores in Table 2 by the names of `metrics.MODIFICATIONS`; empty if the article gives none."""
    return dict(zip(MODIFICATIONS, _SCORES_PCT.get((model, dataset), ()), strict=False))


def published_size(model: str, image_size: int, num_classes: int) -> PublishedSize | None:
    """The row of Tables 3 and 4 for a model at an input size; None if neither has it."""
    parameters_M = _PARAMETERS_M.get((image_size, num_classes), {}).get(model)
    if parameters_M is None:
        return None
    return PublishedSize(parameters_M, *_COSTS[image_size, num_classes].get(model, (None, None)))
