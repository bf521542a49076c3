"""VGG-16 and WRN-50-2 agree with torchvision's networks with the same weights; the parts around them."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import wide_resnet50_2
from torchvision.models.vgg import cfgs, make_layers

from tests.support.fresh_memory import holding_nan
from trainables.config.trial import TrialConfig
from trainables.errors import ConfigError
from trainables.models import vgg16, wrn50
from trainables.models.build import assemble, build_model
from trainables.models.classifier import Output
from trainables.models.layers import GridMean
from trainables.models.pretrained import WEIGHTS

MODELS = ("vgg-aib", "vgg-aib-qt", "wrn-aib", "wrn-aib-qt")


def birds(model: str, **changes: object) -> TrialConfig:
    small = {"model.width": 0.0625, "model.pretrained": "none", "bottleneck.latent_dim": 5, "data.image_size": 32}
    return TrialConfig.from_dict({"model": model, "dataset": "cub200", **small, **changes})


def images(num_images: int, side: int) -> Tensor:
    return torch.randn(num_images, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("side", [32, 48])
def test_vgg16_features_are_torchvisions_without_the_last_pool(side: int) -> None:
    theirs = make_layers(cfgs["D"], batch_norm=False)[:-1].eval()
    ours = vgg16.features(1.0, 0.0).eval()
    ours.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        expected, found = theirs(images(1, side)), ours(images(1, side))
    assert found.shape == (1, 512, side // 16, side // 16)
    assert expected.abs().max() > 0
    torch.testing.assert_close(found, expected)


def test_wrn50_features_and_encoder_are_torchvisions_groups() -> None:
    theirs = wide_resnet50_2(weights=None).eval()
    with torch.no_grad():
        # Statistics that have an effect.
        for module in theirs.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.5, 1)
                module.bias.uniform_(-0.1, 0.1)
    state = theirs.state_dict()
    ours = nn.ModuleDict({"features": wrn50.features(1.0, 0.0), "encoder": wrn50.encoder(1.0, 3, 0.0)}).eval()
    prefixes = WEIGHTS["wrn-50-2"].prefixes
    placed = {b + name[len(a) :]: v for name, v in state.items() for a, b in prefixes.items() if name.startswith(a)}
    missing, unexpected = ours.load_state_dict(placed, strict=False)
    assert (missing, unexpected) == (["encoder.fc.weight", "encoder.fc.bias"], [])
    with torch.no_grad():
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(images(1, 40)))))
        expected = theirs.layer3(theirs.layer2(theirs.layer1(x)))
        found = ours["features"](images(1, 40))
        assert found.shape == (1, 1024, 3, 3)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(ours["encoder"][0](found), theirs.layer4(expected))


@pytest.mark.parametrize(("model", "entry"), [("vgg-aib-qt", "vgg-16"), ("wrn-aib-qt", "wrn-50-2")])
def test_every_imagenet_tensor_has_a_place_of_its_shape(model: str, entry: str) -> None:
    own = assemble(TrialConfig.from_dict({"model": model, "dataset": "cub200"}), 200).state_dict()
    with torch.device("meta"):
        whole = wide_resnet50_2(weights=None) if entry == "wrn-50-2" else make_layers(cfgs["D"], batch_norm=False)
    theirs = whole.state_dict() if entry == "wrn-50-2" else {f"features.{k}": v for k, v in whole.state_dict().items()}
    places = {
        ours + name[len(prefix) :]: value.shape
        for name, value in theirs.items()
        for prefix, ours in WEIGHTS[entry].prefixes.items()
        if name.startswith(prefix)
    }
    assert len(places) == len(theirs) - (2 if entry == "wrn-50-2" else 0)  # all but the classifier
    assert all(own[name].shape == shape for name, shape in places.items())


@pytest.mark.parametrize("side", [16, 32, 50])
@pytest.mark.parametrize("name", MODELS)
def test_output_has_the_documented_shapes_at_any_image_size(name: str, side: int) -> None:
    model = build_model(birds(name, **{"data.image_size": side}), 7).eval()
    cells = -(-side // 16)
    assert model.map_sizes == {"attention": (cells, cells)}
    noise = model.draw_noise(2, 3, 4, torch.Generator().manual_seed(0))
    out: Output = model(images(2, side), noise)
    assert out.logits_STBC.shape == (3, 4, 2, 7)
    assert out.logits_STBC.isfinite().all()
    assert out.maps["attention"].shape == (2, cells, cells)
    assert out.latent is not None
    assert out.latent.mean_SBK.shape == (3, 2, 5)


@pytest.mark.parametrize("name", ["vgg-aib-qt", "wrn-aib-qt"])
def test_weights_depend_on_the_seed_alone_and_every_value_is_set(name: str) -> None:
    with holding_nan():
        first, second, other = (build_model(birds(name, seed=seed), 7).state_dict() for seed in (0, 0, 1))
    assert all(value.isfinite().all() for value in first.values())
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    assert not torch.equal(
        first["encoder.layer4.0.conv1.weight" if "wrn" in name else "encoder.2.weight"],
        other["encoder.layer4.0.conv1.weight" if "wrn" in name else "encoder.2.weight"],
    )


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 14, 15])
def test_grid_mean_is_the_adaptive_average(size: int) -> None:
    x = torch.randn(2, 4, size, size + 3, dtype=torch.float64, requires_grad=True)
    found, expected = GridMean(3)(x), functional.adaptive_avg_pool2d(x, 3)
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(found)
    (a,) = torch.autograd.grad((found * weights).sum(), x)
    (b,) = torch.autograd.grad((expected * weights).sum(), x)
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.backbone": "wrn-50-2"}, r"'model\.backbone' is 'wrn-50-2'; allowed for vgg-aib: vgg-32 \| vgg-16"),
        (
            {"model.pretrained": "imagenet"},
            r"no such weights for model\.width 0\.0625; set model\.width to 1, or model",
        ),
        ({"model.backbone": "vgg-32", "model.pretrained": "imagenet"}, r"allowed for vgg-32: none"),
        ({"model.dropout": 0.1}, r"'model\.dropout' is 0\.1; allowed for vgg-aib: 0"),
    ],
)
def test_what_a_backbone_cannot_be_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        assemble(birds("vgg-aib", **changes), 7)
