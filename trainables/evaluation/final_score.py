"""Scores a finished trial: many-sample evaluation, interpretability and localization of its best epoch's weights.

Interpretability on validation images has the plain names, because searches and the gate select on it. On test images
it has `test_` in front; these are the figures of Table 2, and nothing is selected on them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from trainables.config.trial import TrialConfig
from trainables.data.arrow_store import Store, list_prepared, open_store, store_folder
from trainables.data.catalog import default_image_size, prepare_command
from trainables.data.splits import Subset, Subsets
from trainables.errors import DataError
from trainables.evaluation import cross_domain
from trainables.evaluation.evaluate import Draws, evaluate, final_draws, predict_batch, shard
from trainables.evaluation.predictions import VerdictCollector
from trainables.evaluation.timing import ms_per_image
from trainables.interpretability.examples import example_panels
from trainables.interpretability.localization import score_localization
from trainables.interpretability.score import Predict, Prediction, score_interpretability
from trainables.metrics import on_test
from trainables.models.build import build_model
from trainables.models.classifier import Classifier
from trainables.models.traits import traits
from trainables.runtime import numerics
from trainables.runtime.randomness import stream
from trainables.runtime.runtime import Runtime

MODIFICATION_SEED = 0
"""One seed for all trials: they see the same modified images, so that their scores compare."""

NUM_OCCLUDERS = 2000


class BestEpoch(NamedTuple):
    """The epoch that validation selected, and the history it was selected from."""

    epoch: int
    weights: Mapping[str, torch.Tensor]
    history: Sequence[Mapping[str, float]]
    """Metrics of every epoch of the trial."""


class FinalScore(NamedTuple):
    metrics: dict[str, float]
    examples: dict[str, torch.Tensor]
    """`Panels.to_tensors`, to be drawn later; empty for a model without maps."""
    verdicts: dict[str, torch.Tensor]
    """`Verdicts.to_tensors`."""


def score_best(
    config: TrialConfig,
    best: BestEpoch,
    subsets: Subsets,
    class_names: Sequence[str],
    occluders_MHWC: torch.Tensor | None,
    runtime: Runtime,
) -> FinalScore:
    """`metrics.FINAL`, interpretability and, where data allows, `metrics.LOCALIZATION` and `metrics.CROSS_DOMAIN`.

    Collective. A model without maps (`occluders_MHWC` is None) gets errors only, and no examples.
    """
    model = numerics.place(build_model(config, len(class_names)), config, runtime.device)
    model.load_state_dict(best.weights)
    draws = final_draws(config)
    val = evaluate(model, subsets.val, "val", config, runtime, draws)
    collector = VerdictCollector(model, len(subsets.test))
    test = evaluate(model, subsets.test, "test", config, runtime, draws, collector)
    verdicts = collector.verdicts(subsets.test, runtime.world_size).to_tensors()
    found = {
        "best_epoch": float(best.epoch),
        "final_val_error_pct": val["error_pct"],
        "final_val_nll": val["nll"],
        "final_test_error_pct": test["error_pct"],
        "final_test_nll": test["nll"],
        "test_error_top5_pct": test["error_top5_pct"],
        "best_test_epoch_error_pct": min(row["test_error_pct"] for row in best.history),
        "inference_ms_per_image": ms_per_image(model, config, runtime.device),
    }
    if cross_domain.is_prepared(config, runtime):
        found |= cross_domain.score_stl10(model, class_names, config, runtime, draws)
    if occluders_MHWC is None:
        return FinalScore(found, {}, verdicts)
    found["final_val_attention_std"] = val["attention_std"]
    limit = config.evaluation.interp_images
    found |= interpretability(model, subsets.val.head(limit), config, occluders_MHWC, runtime, draws)
    scores = interpretability(model, subsets.test.head(limit), config, occluders_MHWC, runtime, draws)
    found |= {on_test(name): value for name, value in scores.items()}
    if subsets.test.split.masks_NHW is not None:
        found |= localization(model, subsets.test, config, runtime, draws)
    images_NHWC, labels_N = subsets.test.tensors(torch.device("cpu"))
    panels = example_panels(
        predictor(model, config, draws, runtime.device),
        images_NHWC,
        labels_N,
        occluders_MHWC,
        config.evaluation,
        MODIFICATION_SEED,
    )
    return FinalScore(found, panels.to_tensors(), verdicts)


def interpretability(
    model: Classifier,
    subset: Subset,
    config: TrialConfig,
    occluders_MHWC: torch.Tensor,
    runtime: Runtime,
    draws: Draws,
) -> dict[str, float]:
    """`metrics.INTERPRETABILITY` over a subset, plus `metrics.INTERP_FURTHER` of every further map; collective."""
    images_NHWC, _ = subset.tensors(torch.device("cpu"))
    return score_interpretability(
        predictor(model, config, draws, runtime.device),
        images_NHWC,
        shard(subset, config, runtime),
        occluders_MHWC=occluders_MHWC,
        config=config.evaluation,
        seed=MODIFICATION_SEED,
        further=tuple(model.map_sizes)[1:],
    )


def localization(
    model: Classifier, subset: Subset, config: TrialConfig, runtime: Runtime, draws: Draws
) -> dict[str, float]:
    """`metrics.LOCALIZATION` over a subset whose data set has masks; collective."""
    images_NHWC, _ = subset.tensors(torch.device("cpu"))
    return score_localization(
        predictor(model, config, draws, runtime.device),
        images_NHWC,
        subset.masks(),
        shard(subset, config, runtime),
    )


def predictor(model: Classifier, config: TrialConfig, draws: Draws, device: torch.device) -> Predict:
    """Predicted classes and maps of raw images, as the interpretability score needs them; the model must have maps.

    The noise of a batch is the same for the clean images and for each of their modifications.
    """
    model.eval()

    def predict(images_BHWC: torch.Tensor, batch: int) -> Prediction:
        generator = stream(config.seed, "interpretability", batch, device=device)
        logits_BC, output = predict_batch(model, images_BHWC.to(device), config, draws, generator)
        headline, *further = output.maps
        return Prediction(logits_BC.argmax(1), output.maps[headline], {name: output.maps[name] for name in further})

    return predict


def stores_needed(config: TrialConfig, data_root: Path) -> list[tuple[str, int]]:
    """Name and image size of every data set that the trial opens, if it is prepared."""
    stored_size = config.data.stored_size
    needed = [(config.data.name, stored_size)]
    if config.data.name == cross_domain.TRAINED_ON:
        needed.append((cross_domain.EVALUATED_ON, stored_size))
    occluding = _occluder_size(config, data_root) if traits(config.model.name).maps else None
    if occluding is not None:
        needed.append((config.evaluation.occluder_dataset, occluding))
    return list(dict.fromkeys(needed))


def occluder_store(config: TrialConfig, data_root: Path, verify: bool = False) -> Store:
    """The data set of the occluding images, at the trial's image size if it is prepared at it, otherwise at any size.

    Any size will do, because occluders are resized to the window. Raises DataError where the data set is not prepared
    or, with `verify`, is damaged; ConfigError for an invalid name.
    """
    name, size = config.evaluation.occluder_dataset, _occluder_size(config, data_root)
    store_folder(data_root, name, config.data.image_size)
    if size is None:
        raise DataError(
            f"the data set '{name}', whose images occlude others in the interpretability score, is not prepared; run "
            f"'{prepare_command(name, default_image_size(name))}' or set trial field evaluation.occluder_dataset to a "
            "prepared one such as cluttered-digits."
        )
    return open_store(data_root, name, size, verify)


def _occluder_size(config: TrialConfig, data_root: Path) -> int | None:
    name = config.evaluation.occluder_dataset
    sizes = {meta.image_size for meta in list_prepared(data_root) if meta.name == name}
    return config.data.image_size if config.data.image_size in sizes else min(sizes, default=None)


def occluders(config: TrialConfig, runtime: Runtime) -> torch.Tensor:
    """Test images (M, H, W, C) uint8 of the occluder data set."""
    test = occluder_store(config, runtime.data_root).splits["test"]
    return torch.from_numpy(test.images_NHWC[:NUM_OCCLUDERS].copy())
