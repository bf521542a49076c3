"""Downloads, checks and loads ImageNet weights for the backbones that have them.

The files are torchvision's (`IMAGENET1K_V1`, as in the released code), in torch's own cache. Their names contain the
first digits of their SHA-256, which is checked at every use: a truncated or altered file is refused.
"""

import hashlib
import http.client
import urllib.request
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainables.config.trial import ModelConfig
from trainables.errors import ConfigError, DataError
from trainables.runtime.atomic_file import replacing_file
from trainables.runtime.progress import advance

DOWNLOAD_STALL_S = 30.0
_PIECE_BYTES = 1 << 20


class ImageNetWeights(NamedTuple):
    """A weight file, and how its tensor names map to ours."""

    entry: str
    """Name of the weights in torchvision's catalogue."""
    file: str
    """Name of the file: `NAME-HASH.pth`, with the first digits of its SHA-256."""
    prefixes: Mapping[str, str]
    """Prefix of a tensor's name in the file -> prefix in our model. All other tensors (the classifier) are not used."""


_STEM_AND_GROUPS = ("conv1.", "bn1.", "layer1.", "layer2.", "layer3.")
WEIGHTS = {
    "vgg-16": ImageNetWeights("VGG16_Weights.IMAGENET1K_V1", "vgg16-397923af.pth", {"features.": "features."}),
    "wrn-50-2": ImageNetWeights(
        "Wide_ResNet50_2_Weights.IMAGENET1K_V1",
        "wide_resnet50_2-95faca4d.pth",
        {**{part: f"features.{part}" for part in _STEM_AND_GROUPS}, "layer4.": "encoder.layer4."},
    ),
}
"""Backbone -> its weights."""


def require_pretrainable(model: ModelConfig) -> None:
    """ConfigError where a model asks for weights that do not exist for its backbone or its width."""
    if model.pretrained == "none":
        return
    if model.backbone not in WEIGHTS:
        raise ConfigError(
            f"trial field 'model.pretrained' is '{model.pretrained}'; allowed for {model.backbone}: none "
            f"({' and '.join(WEIGHTS)} have ImageNet weights)."
        )
    if model.width != 1:
        raise ConfigError(
            f"trial field 'model.pretrained' is '{model.pretrained}', and there are no such weights for model.width "
            f"{model.width}; set model.width to 1, or model.pretrained to none to train from scratch."
        )


def weight_file(model: ModelConfig) -> Path:
    """The path of the model's weight file: under TORCH_HOME, as in torchvision."""
    return Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS[model.backbone].file


def fetch(model: ModelConfig) -> Path | None:
    """Returns the model's checked weight file, and downloads it if missing; None if the model needs none.

    Raises DataError for a damaged file, and where the download fails.
    """
    if model.pretrained == "none":
        return None
    path = weight_file(model)
    if not path.is_file():
        _download(model, path)
    found = _digest(path)
    if not found.startswith(expected := _hash_prefix(path)):
        raise DataError(
            f"{path} does not hold the ImageNet weights of {model.backbone}: its SHA-256 begins with "
            f"{found[: len(expected)]}, allowed: {expected}. Remove it to have it downloaded again, or put the right "
            "file there."
        )
    return path


def load_imagenet(network: nn.Module, model: ModelConfig) -> None:
    """Overwrites the network's backbone with the model's ImageNet weights, if it asks for any. Raises as `fetch`."""
    path = fetch(model)
    if path is None:
        return
    given: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    prefixes = WEIGHTS[model.backbone].prefixes
    own = network.state_dict()
    placed = {
        ours + name.removeprefix(theirs): value
        for name, value in given.items()
        for theirs, ours in prefixes.items()
        if name.startswith(theirs)
    }
    # Old files lack BatchNorm's batch counter. It starts at 0, and a fixed momentum does not use it.
    wanted = {
        name for name in own if name.startswith(tuple(prefixes.values())) and not name.endswith("num_batches_tracked")
    }
    wrong = sorted(wanted - placed.keys()) + sorted(
        name for name, value in placed.items() if name not in own or own[name].shape != value.shape
    )
    if wrong:
        raise DataError(
            f"{path} does not fit {model.backbone}: {', '.join(wrong[:3])} missing or of another shape; "
            "replace the file, or set model.pretrained to none."
        )
    network.load_state_dict(placed, strict=False)


def _download(model: ModelConfig, path: Path) -> None:
    """Downloads all or nothing; if several processes download at the same time, the last file stays."""
    url = _url(model)
    aside = path.with_name(f".{path.name}-{uuid.uuid4().hex[:16]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            urllib.request.urlopen(url, timeout=DOWNLOAD_STALL_S) as answer,
            replacing_file(path, aside=aside, mode=0o600) as file,
        ):
            while piece := answer.read(_PIECE_BYTES):
                file.write(piece)
                advance()
            file.flush()
            if not _digest(aside).startswith(_hash_prefix(path)):
                raise OSError("the download has another SHA-256")
    except (OSError, http.client.HTTPException) as error:
        raise DataError(
            f"the ImageNet weights of {model.backbone} are not at {path}, and this machine could not download them "
            f"from {url} ({error}). Download {path.name} on another machine and put it there (TORCH_HOME moves the "
            "folder), or set model.pretrained to none to train from scratch."
        ) from error


def _url(model: ModelConfig) -> str:
    from torchvision.models import get_weight

    url: str = get_weight(WEIGHTS[model.backbone].entry).url
    return url


def _hash_prefix(path: Path) -> str:
    return path.stem.rsplit("-", 1)[1]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
