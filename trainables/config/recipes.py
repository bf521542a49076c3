"""The two recipes: `paper` (the article and its Supplement C) and `released` (what the authors' code computes).

The source of each value stands beside it: "Sup. C" is the article's Supplement C, "code" the released implementation
(June 2021), "ours" our choice where both are silent.
"""

from typing import Any

from trainables.errors import ConfigError

RECIPES = ("paper", "released")
IMAGENET_BACKBONES = ("vgg-16", "wrn-50-2")
_SMALL_ONLY = ("vgg-gap", "vgg-pan", "vgg-att2", "vgg-att3", "wrn-abn")
"""Baselines that need the backbone for 32-pixel images: they attach to its blocks."""


def recipe(name: str, model: str, dataset: str, backbone: str | None = None) -> dict[str, Any]:
    """Every field of a trial under its dotted key, for one recipe, model, data set and backbone (None: the default).

    Raises ConfigError for an unknown recipe. Does not check the names of model and data set; their look-up does.
    """
    if name not in RECIPES:
        raise ConfigError(f"trial field 'recipe' is {name!r}; allowed: {' | '.join(RECIPES)}.")
    wide = model.startswith("wrn")
    backbone = backbone or default_backbone(model, dataset)
    fields = _shared(name, model, dataset, wide)
    fields.update(_paper(wide) if name == "paper" else _released(wide, model))
    if backbone in IMAGENET_BACKBONES:
        fields.update(_imagenet_paper() if name == "paper" else _imagenet_released())
    fields.update(_OWN.get(model, {}))
    return {**fields, "model.backbone": backbone}


def default_backbone(model: str, dataset: str) -> str:
    """§4.1, §4.2: the ImageNet backbone for the birds (CUB-200), the backbone for 32-pixel images elsewhere."""
    small, large = ("wrn-28-10", "wrn-50-2") if model.startswith("wrn") else ("vgg-32", "vgg-16")
    return large if dataset == "cub200" and model not in _SMALL_ONLY else small


def stored_size(dataset: str, image_size: int) -> int:
    """Side in pixels of the prepared images, given the side of the model's input.

    code: birds are stored at 256 and cropped to 224; other sides keep this ratio. Other data sets are not cropped.
    """
    return (image_size * 256 + 112) // 224 if dataset == "cub200" else image_size


_OWN: dict[str, dict[str, Any]] = {
    # Values of each baseline's public code that differ from what the article says of all its runs. A table compares
    # models, so epochs, batch, weight decay and flips stay those of the recipe.
    "vgg-att2": {"data.crop_padding_mode": "zeros"},  # SaoYan/LearnToPayAttention
    "vgg-att3": {"data.crop_padding_mode": "zeros"},
    "wrn-abn": {  # ABN's repository: CIFAR
        "data.crop_padding_mode": "zeros",
        "optim.decay_factor": 0.2,
        "optim.decay_at_epochs": (61, 121, 161),
    },
}
"""Fields in which a baseline differs from the recipe."""


def _shared(name: str, model: str, dataset: str, wide: bool) -> dict[str, Any]:
    image_size = 224 if dataset == "cub200" else 32  # §4.1, §4.2
    return {
        "recipe": name,
        "epochs": 200,  # Sup. C
        "seed": 0,
        "model.name": model,
        "model.pretrained": "none",
        "model.width": 1.0,
        "model.dropout": 0.3 if wide else 0.0,  # WRN-28-10 of code; VGG has none
        "data.name": dataset,
        "data.image_size": image_size,
        "data.stored_size": stored_size(dataset, image_size),
        "data.train_images": None,
        "data.val_images": None,  # ours: selection never sees the test set
        "data.test_images": None,
        "data.split_seed": 0,
        "data.normalization": _normalization(dataset, wide),
        "data.crop_padding": 0 if dataset == "cub200" else 4,  # code for birds, which are stored larger; §4.1
        "data.crop_padding_mode": "reflect",  # code
        # ours: mirrored digits are other signs; the released code flips SVHN too, so `released` does.
        "data.flip": dataset not in ("svhn", "cluttered-digits") or (name == "released" and dataset == "svhn"),
        "attention.num_anchors": 50 if wide else 20,  # Sup. C
        "attention.lambda_q": 0.4,  # §3.3
        "attention.lambda_c": 0.1,  # §3.3
        "attention.sigma_offset": 5.0,  # code: softplus(. - 5); the paper gives no offset
        "attention.modulation": "residual",  # code: f + a f; the paper says only "attention-modulated"
        "bottleneck.latent_dim": 512 if wide else 256,  # Fig. 4 (b); WRN by parameter count of Table 3
        "bottleneck.beta": 0.01,  # §3.3
        "optim.batch_size": 128,  # Sup. C
        "optim.algorithm": "sgd",  # Sup. C
        "optim.momentum": 0.9,  # Sup. C
        "optim.betas": (0.9, 0.999),  # Adam's own, unused by SGD
        "optim.weight_decay": 5e-4,  # Sup. C
        "optim.ema_decay": 0.0,
        "evaluation.batch_size": 250,
        "evaluation.search_attention_samples": 1,  # ours: rungs rank on single draws
        "evaluation.search_latent_samples": 1,
        "evaluation.interp_images": None,
        "evaluation.interp_every_epochs": 0,
        "evaluation.interp_epoch_images": 500,
        "evaluation.interp_threshold": 0.9,  # ours: the middle of the code's left-over list 0.85, 0.9, 0.95
        "evaluation.occluder_dataset": "svhn",  # §4.4
        "evaluation.filtered_range": "minmax",  # code: its loader for frequency images
        "numerics.precision": "fp32",
        "numerics.num_threads": 1,
        "numerics.channels_last": False,
        "numerics.compile": False,
        "numerics.deterministic": True,
        "numerics.tf32": False,
    }


def _normalization(dataset: str, wide: bool) -> str:
    if dataset == "svhn":
        return "half"  # code: mean = std = 0.5
    if dataset == "cub200":
        return "imagenet"  # code
    return "cifar10" if wide else "cifar100"  # code: VGG uses CIFAR-100's statistics for both


def _paper(wide: bool) -> dict[str, Any]:
    return {
        "attention.quantizer_reduction": "sum",  # Eq. 10: squared L2 norm
        "attention.sigma_kernel": 1,  # Sup. C: Conv(1x1, 1)
        "bottleneck.kl": "exact",  # Eq. 10: D_KL[p(z|x, a) || N(0, I)]
        "bottleneck.kl_scale": 1.0,
        "bottleneck.units": "nats",
        "optim.lr": 0.1,  # Sup. C
        "optim.warmup_lrs": (),
        "optim.decay_factor": 0.3 if wide else 0.5,  # Sup. C
        "optim.decay_at_epochs": (60, 120, 180) if wide else tuple(range(26, 201, 25)),  # Sup. C
        "optim.anchor_lr_ratio": 1.0,
        "evaluation.attention_samples": 4,  # Sup. C, Inference
        "evaluation.latent_samples": 12,
    }


def _released(wide: bool, model: str) -> dict[str, Any]:
    quantized = model.endswith("-qt")
    return {
        "attention.quantizer_reduction": "mean",
        "attention.sigma_kernel": 3,
        "bottleneck.kl": "released",  # evaluated at scale exp(s), while z is drawn at scale s
        "bottleneck.kl_scale": 1.0 if wide else 0.5,
        "bottleneck.units": "bits",  # cross-entropy and KL divided by ln 2
        "optim.lr": 0.1,
        # VGG starts at --lr and is multiplied by ten each epoch up to 0.1: 0.01 for aib, 0.001 for qt.
        "optim.warmup_lrs": () if wide else ((0.001, 0.01) if quantized else (0.01,)),
        "optim.decay_factor": 0.2 if wide else 0.5,
        "optim.decay_at_epochs": (61, 121, 161) if wide else tuple(range(25, 201, 25)),
        "optim.anchor_lr_ratio": 1e-4 if wide else 1.0,  # VGG means 1e-4 too, but on GPUs it has no effect
        "evaluation.attention_samples": 4,
        "evaluation.latent_samples": 4,
    }


def _imagenet_paper() -> dict[str, Any]:
    return {
        "model.pretrained": "imagenet",  # §4.2
        "model.dropout": 0.0,
        "bottleneck.latent_dim": 256,  # by parameter count of Table 3
        "evaluation.batch_size": 32,  # ours: images of 224 pixels under many draws
    }


def _imagenet_released() -> dict[str, Any]:
    return _imagenet_paper() | {
        "attention.num_anchors": 20,
        "bottleneck.kl_scale": 1.0,  # (L + L) / 2, where VGG of 32-pixel images has L / 2
        "optim.algorithm": "adam",
        "optim.batch_size": 16,  # on each GPU
        "optim.lr": 1e-4,
        "optim.betas": (0.5, 0.999),
        "optim.weight_decay": 0.0,
        "optim.warmup_lrs": (),
        "optim.decay_factor": 0.97,
        "optim.decay_at_epochs": tuple(range(3, 201, 2)),  # every second epoch
        "optim.anchor_lr_ratio": 0.0,  # its flag qt_trainable is off: the anchors stay where they start
        "optim.ema_decay": 0.999,  # raw and averaged weights are evaluated, the better ones kept
        "evaluation.attention_samples": 12,
        "evaluation.latent_samples": 12,
    }
