"""A trial of the paper on CIFAR-10: its config, its differences from the recipe, and the shared options of scripts."""

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.paper.visit import Visit
from trainables.config.trial import TrialConfig
from trainables.data.arrow_store import list_prepared
from trainables.data.prepare import prepare
from trainables.run import settings

DATASET, OCCLUDER, EMBEDDED_OCCLUDER = "cifar10", "svhn", "cluttered-digits"

FAST: Mapping[str, Any] = {
    "numerics.precision": "bf16",
    "numerics.channels_last": True,
    "numerics.compile": True,
    "numerics.deterministic": False,
}
"""The same mathematics in the GPU's fast arithmetic; its bits differ from fp32."""

QUICK: Mapping[str, Any] = {
    "model.width": 0.0625,
    "epochs": 2,
    "data.train_images": 160,
    "data.val_images": 40,
    "data.test_images": 40,
    "optim.batch_size": 32,
    "optim.lr": 0.01,
    "evaluation.batch_size": 20,
    "evaluation.attention_samples": 2,
    "evaluation.latent_samples": 2,
    "evaluation.interp_images": 20,
}
"""A trial of seconds on a CPU."""


def options(parser: argparse.ArgumentParser, out: str) -> None:
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="a field of the trial, by dotted key")
    parser.add_argument(
        "--out", type=Path, default=Path(out), help="folder of the trials; it holds everything that a visit leaves"
    )
    parser.add_argument(
        "--minutes", type=float, default=8.0, help="length of this visit; the same command continues in the next one"
    )
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fast", action="store_true", help="bf16, channels_last, compiled, not deterministic")
    parser.add_argument("--save-every", type=int, default=25, metavar="N", help="epochs from checkpoint to checkpoint")
    parser.add_argument("--data-root", type=Path, default=Path("runs/data"), help="folder of prepared data sets")
    parser.add_argument("--from", dest="source", type=Path, help="CIFAR-10 in Parquet or official form, to prepare it")
    parser.add_argument("--svhn", type=Path, help="SVHN, too; without it the embedded digits are the occluders")
    parser.add_argument("--quick", action="store_true", help="seconds on a CPU; the figure means nothing")
    parser.add_argument("--record", action="store_true", help="write the results so far under benchmarks/results")


def begin(chosen: argparse.Namespace, parser: argparse.ArgumentParser) -> Visit:
    """Begins the visit, and prepares SVHN if it is given."""
    if chosen.quick and chosen.record:
        parser.error(
            "--quick and --record are both given; allowed: one of them. Record a full measurement: leave --quick out"
        )
    visit = Visit(
        data_root=chosen.data_root,
        sources={} if chosen.source is None else {DATASET: chosen.source},
        minutes=chosen.minutes,
        save_every=chosen.save_every,
        started_s=time.monotonic(),
    )
    if chosen.svhn is not None and not _prepared(chosen.data_root, OCCLUDER):
        prepare(OCCLUDER, chosen.data_root, 32, chosen.svhn)
    return visit


def paper_trial(model: str, recipe: str, chosen: argparse.Namespace, **changes: Any) -> TrialConfig:
    """A model of Table 1 on CIFAR-10 with a recipe and the changes of the command line."""
    occluder = OCCLUDER if _prepared(chosen.data_root, OCCLUDER) else EMBEDDED_OCCLUDER
    return TrialConfig.from_dict(
        {
            "model.name": model,
            "data.name": DATASET,
            "recipe": recipe,
            "epochs": chosen.epochs,
            "seed": chosen.seed,
            "evaluation.occluder_dataset": occluder,
        }
    ).override(
        {**(FAST if chosen.fast else {}), **(QUICK if chosen.quick else {}), **changes, **settings(chosen.settings)}
    )


def departures(config: TrialConfig) -> dict[str, Any]:
    """Every field that differs from the trial's own recipe, except the seed."""
    own = TrialConfig.from_dict(
        {"recipe": config.recipe, "model.name": config.model.name, "data.name": config.data.name}
    )
    ours, theirs = config.to_dict(), own.to_dict()
    return {key: value for key, value in ours.items() if value != theirs[key] and key != "seed"}


def result_name(kind: str, model: str, recipe: str, seed: int) -> str:
    """A name such as `reproduce_cifar10_vgg_aib_qt`. Another recipe than `paper` or another seed than 0 is appended."""
    further: Sequence[str] = [*([recipe] if recipe != "paper" else []), *([f"seed{seed}"] if seed else [])]
    return "_".join([kind, DATASET, model.replace("-", "_"), *further])


def _prepared(data_root: Path, name: str) -> bool:
    return any(meta.name == name for meta in list_prepared(data_root))
