"""Sizes and costs equal Tables 3 and 4 exactly."""

import pytest

from trainables.config.trial import TrialConfig
from trainables.models.build import MODELS, assemble
from trainables.models.counts import count


def released(model: str, **changes: object) -> TrialConfig:
    return TrialConfig.from_dict({"recipe": "released", "model": model, "dataset": "cifar10", **changes})


@pytest.mark.parametrize(
    ("model", "num_classes", "parameters", "with_buffers", "giga_macs"),
    [
        ("vgg-aib", 10, 20_040_789, 20_051_300, 3.79),
        ("vgg-aib", 100, 20_063_919, 20_074_430, 3.79),
        ("vgg-aib-qt", 10, 20_040_789 + 20, 20_051_300 + 20, 3.79),
        ("vgg-aib-qt", 100, 20_063_919 + 20, 20_074_430 + 20, 3.79),
        ("wrn-aib", 10, 65_004_500, None, 12.38),
        ("wrn-aib", 100, 65_109_260, None, 12.39),
        ("wrn-aib-qt", 10, 65_004_500 + 50, None, 12.38),
        ("wrn-aib-qt", 100, 65_109_260 + 50, None, 12.39),
    ],
)
def test_counts_are_those_of_tables_3_and_4(
    model: str, num_classes: int, parameters: int, with_buffers: int | None, giga_macs: float
) -> None:
    counts = count(released(model), num_classes)
    assert counts.parameters == parameters
    if with_buffers is not None:
        assert counts.parameters_with_buffers == with_buffers
    assert round(counts.macs / 1e9, 2) == giga_macs
    assert counts.map_sizes == {"attention": (16, 16)}


def conv(channels_in: int, channels_out: int, kernel: int = 3) -> int:
    """Weights without bias."""
    return kernel * kernel * channels_in * channels_out


def wide_group(channels_in: int, channels_out: int, stride: int) -> int:
    """Four basic blocks: two BatchNorms and two convolutions each, a 1x1 one where the shape changes."""
    blocks = [(channels_in, channels_out), *[(channels_out, channels_out)] * 3]
    pairs = sum(2 * a + conv(a, b) + 2 * b + conv(b, b) for a, b in blocks)
    return pairs + (conv(channels_in, channels_out, 1) if channels_in != channels_out or stride != 1 else 0)


def wrn_parameters(num_classes: int) -> int:
    """WRN-28-10: stem, three groups, BatchNorm, classifier."""
    groups = wide_group(16, 160, 1) + wide_group(160, 320, 2) + wide_group(320, 640, 2)
    return conv(3, 16) + groups + 2 * 640 + 640 * num_classes + num_classes


def pan_parameters(num_classes: int) -> int:
    """The plain VGG, three gates of 3x3 score nets, a last 1x1 one without the bias of its score, a BatchNorm."""
    nets = [(256, 3, 1), (512, 3, 1), (512, 3, 1), (512, 1, 0)]
    plain = 19_707_456 + 512 * num_classes + num_classes
    return plain + sum(conv(c, 128, k) + 128 + 2 * 128 + 128 + bias for c, k, bias in nets) + 2 * 512


@pytest.mark.parametrize(
    ("model", "num_classes", "parameters", "maps"),
    [
        ("vgg", 10, 19_712_586, {}),
        ("vgg", 100, 19_758_756, {}),
        ("vgg-gap", 10, 19_712_586, {"cam": (8, 8)}),
        ("vgg-gap", 100, 19_758_756, {"cam": (8, 8)}),
        (
            "vgg-pan",
            10,
            pan_parameters(10),
            {"last": (4, 4), "gate3": (4, 4), "gate2": (8, 8), "gate1": (16, 16)},
        ),
        # vgg-aib without its attention: 2 305 of the mean path, 10 of sigma's 3x3 convolution.
        ("vgg-dvib", 10, 20_040_789 - 2_315, {}),
        ("vgg-dvib", 100, 20_063_919 - 2_315, {}),
        ("vgg-att2", 10, 19_718_730, {"l3": (4, 4), "l2": (8, 8)}),
        ("vgg-att3", 10, 19_855_434, {"l3": (4, 4), "l2": (8, 8), "l1": (16, 16)}),
        ("vgg-att3", 100, 19_993_764, {"l3": (4, 4), "l2": (8, 8), "l1": (16, 16)}),
        ("wrn", 10, wrn_parameters(10), {}),
        ("wrn", 100, wrn_parameters(100), {}),
        ("wrn-abn", 10, 64_349_486, {"attention": (16, 16)}),
        ("wrn-abn", 100, 64_475_666, {"attention": (16, 16)}),
    ],
)
def test_baselines_have_the_published_sizes(
    model: str, num_classes: int, parameters: int, maps: dict[str, tuple[int, int]]
) -> None:
    counts = count(released(model), num_classes)
    assert counts.parameters == parameters
    assert counts.map_sizes == maps
    assert list(counts.map_sizes) == list(maps)


@pytest.mark.parametrize(("model", "with_buffers"), [("vgg-att3", 19_865_945), ("wrn-abn", 64_378_376)])
def test_baselines_hold_their_batchnorm_statistics_beside(model: str, with_buffers: int) -> None:
    assert count(released(model), 10).parameters_with_buffers == with_buffers


@pytest.mark.parametrize("model", MODELS)
def test_width_scales_every_channel_count(model: str) -> None:
    """At half the width nearly a quarter of the weights remain: those between two scaled layers."""
    whole, halved = (count(released(model, **{"model.width": w, "bottleneck.latent_dim": 1}), 10) for w in (1.0, 0.5))
    assert 0.249 < halved.parameters / whole.parameters < 0.253
    assert halved.map_sizes == whole.map_sizes


@pytest.mark.parametrize(
    ("model", "parameters", "giga_macs"),
    [
        ("vgg-aib", 24_275_731, 16.74),
        ("vgg-aib-qt", 24_275_731 + 20, 16.74),
        # Table 3's 130.73 M less the 20 736 000 of a group that never runs.
        ("wrn-aib", 130_726_675 - 20_736_000, 19.62),
        ("wrn-aib-qt", 109_990_675 + 20, 19.62),
    ],
)
def test_counts_at_224_pixels_are_those_of_the_networks_that_run(model: str, parameters: int, giga_macs: float) -> None:
    counts = count(released(model, dataset="cub200"), 200)
    assert counts.parameters == parameters
    assert round(counts.macs / 1e9, 2) == giga_macs
    assert counts.map_sizes == {"attention": (14, 14)}


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        (
            "vgg-aib",
            {
                "features": 1_737_792,
                "attention.mean_path": 2_305,
                "attention.std_conv": 10,
                "encoder": 18_232_320,
                "decoder": 68_362,
            },
        ),
        (
            "wrn-aib",
            {
                "features.0": 432,
                "features.1": 1_640_672,
                "features.2": 6_968_000,
                "attention.mean_path": 27_870_192,
                "attention.std_conv": 10,
                "encoder": 28_520_064,
                "decoder": 5_130,
            },
        ),
    ],
)
def test_every_part_has_its_published_share(model: str, parts: dict[str, int]) -> None:
    network = assemble(released(model), 10)
    found = {name: sum(p.numel() for p in network.get_submodule(name).parameters()) for name in parts}
    assert found == parts
    assert sum(found.values()) == sum(p.numel() for p in network.parameters())


def test_paper_recipe_has_a_1x1_sigma_convolution() -> None:
    paper = TrialConfig.from_dict({"recipe": "paper", "model": "vgg-aib", "dataset": "cifar10"})
    assert count(paper, 10).parameters == 20_040_789 - 8


def test_wrn_with_256_latents_does_not_match_table_3() -> None:
    assert count(released("wrn-aib", **{"bottleneck.latent_dim": 256}), 10).parameters == 64_673_748


def test_count_is_of_one_image_whatever_the_anchors() -> None:
    small, large = (count(released("vgg-aib-qt", **{"attention.num_anchors": q}), 10) for q in (2, 500))
    assert large.parameters - small.parameters == 498
    assert large.macs == small.macs


def test_half_the_side_halves_the_map() -> None:
    counts = count(released("vgg-aib", **{"data.image_size": 16}), 10)
    assert counts.map_sizes == {"attention": (8, 8)}
    assert counts.parameters == 20_040_789
