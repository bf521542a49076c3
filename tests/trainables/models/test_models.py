"""The models of the article at small widths: shapes, draws, weights by seed, precision."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.support.fresh_memory import holding_nan
from trainables.config.trial import TrialConfig
from trainables.errors import ConfigError
from trainables.models.attention import SpatialAttention, modulate
from trainables.models.build import MODELS, build_model
from trainables.models.classifier import AttentionDraws, Classifier, Latent, Output
from trainables.models.traits import traits

NUM_CLASSES = 7


def trial(model: str, changes: Mapping[str, object] | None = None) -> TrialConfig:
    small = {"model.width": 0.06, "bottleneck.latent_dim": 5}
    return TrialConfig.from_dict({"recipe": "paper", "model": model, "dataset": "cifar10", **small, **(changes or {})})


def images(num_images: int, side: int = 32) -> Tensor:
    return torch.randn(num_images, 3, side, side, generator=torch.Generator().manual_seed(1))


def generator(seed: int = 2) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def run(model: Classifier, num_attention: int, num_latent: int, num_images: int = 3, side: int = 32) -> Output:
    noise = model.draw_noise(num_images, num_attention, num_latent, generator())
    result: Output = model(images(num_images, side), noise)
    return result


def drawn(out: Output) -> AttentionDraws:
    assert out.attention is not None
    return out.attention


def latent(out: Output) -> Latent:
    assert out.latent is not None
    return out.latent


def tensors(out: Output) -> list[Tensor]:
    found = [out.logits_STBC, *out.maps.values(), *(out.attention or ()), *(out.latent or ()), out.auxiliary_logits_BC]
    return [value for value in found if value is not None]


MAPPED = pytest.mark.parametrize("name", [name for name in MODELS if traits(name).maps])
AIB_MODELS = [name for name in MODELS if traits(name).draws_attention]


@pytest.mark.parametrize("side", [32, 16])
@pytest.mark.parametrize("name", MODELS)
def test_output_has_what_the_models_traits_say_in_the_documented_shapes(name: str, side: int) -> None:
    has, cells = traits(name), side // 2
    model = build_model(trial(name, {"data.image_size": side}), NUM_CLASSES)
    out = run(model, 2, 4, side=side)
    num_draws = (2 if has.draws_attention else 1, 4 if has.latent else 1)
    assert out.logits_STBC.shape == (*num_draws, 3, NUM_CLASSES)
    assert tuple(out.maps) == tuple(model.map_sizes) == has.maps
    assert all(map_Bhw.shape == (3, *model.map_sizes[name]) for name, map_Bhw in out.maps.items())
    assert not any(map_Bhw.requires_grad for map_Bhw in out.maps.values())
    assert (out.attention is not None) == has.draws_attention == model.draws_attention
    assert (out.latent is not None) == has.latent == (model.latent_dim is not None)
    assert (out.auxiliary_logits_BC is not None) == has.auxiliary
    if out.attention is not None:
        assert model.map_sizes == {"attention": (cells, cells)}
        assert out.attention.draws_SBHW.shape == out.attention.modulation_SBHW.shape == (2, 3, cells, cells)
        assert out.attention.mean_BHW.shape == out.attention.std_BHW.shape == (3, cells, cells)
        assert ((out.attention.mean_BHW > 0) & (out.attention.mean_BHW < 1)).all()
        assert (out.attention.std_BHW > 0).all()
        quantized_SBHW = out.attention.quantized_SBHW
        assert (quantized_SBHW is not None) == has.quantized
        assert quantized_SBHW is None or quantized_SBHW.shape == (2, 3, cells, cells)
    if out.latent is not None:
        assert out.latent.mean_SBK.shape == out.latent.std_SBK.shape == (num_draws[0], 3, 5)
    if out.auxiliary_logits_BC is not None:
        assert out.auxiliary_logits_BC.shape == (3, NUM_CLASSES)


@pytest.mark.parametrize("side", [8, 20, 33, 64])
@pytest.mark.parametrize("name", MODELS)
def test_other_image_sizes_run_too(name: str, side: int) -> None:
    model = build_model(trial(name, {"data.image_size": side}), NUM_CLASSES)
    out = run(model, 1, 1, side=side)
    assert out.logits_STBC.isfinite().all()
    assert {name: tuple(map_Bhw.shape[1:]) for name, map_Bhw in out.maps.items()} == model.map_sizes


@pytest.mark.parametrize("name", AIB_MODELS)
def test_many_draws_at_once_equal_draws_one_by_one(name: str) -> None:
    model = build_model(trial(name), NUM_CLASSES).eval()
    x, noise = images(3), model.draw_noise(3, 2, 3, generator())
    whole: Output = model(x, noise)
    for s in range(2):
        for t in range(3):
            single = noise._replace(
                attention_SBHW=noise.attention_SBHW[s : s + 1], latent_STBK=noise.latent_STBK[s : s + 1, t : t + 1]
            )
            out: Output = model(x, single)
            torch.testing.assert_close(out.logits_STBC[0, 0], whole.logits_STBC[s, t], rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(drawn(out).draws_SBHW[0], drawn(whole).draws_SBHW[s])
    assert not torch.allclose(whole.logits_STBC[0, 0], whole.logits_STBC[1, 0], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(whole.logits_STBC[0, 0], whole.logits_STBC[0, 1], rtol=1e-4, atol=1e-5)


def test_features_run_once_per_image_and_the_encoder_once_per_attention_draw() -> None:
    model = build_model(trial("vgg-aib"), NUM_CLASSES).eval()
    calls: dict[str, list[int]] = {"features": [], "encoder": [], "decoder": []}
    item_dims = {"features": 3, "encoder": 3, "decoder": 1}
    for name, sizes in calls.items():
        model.get_submodule(name).register_forward_hook(
            lambda _module, inputs, _output, sizes=sizes, dims=item_dims[name]: sizes.append(
                inputs[0].shape[:-dims].numel()
            )
        )
    run(model, 2, 4, num_images=3)
    assert calls["features"] == [3]
    assert calls["encoder"] == [2 * 3]
    assert calls["decoder"] == [2 * 4 * 3]


def test_the_draw_is_mean_plus_std_times_noise_and_is_not_clamped() -> None:
    model = build_model(trial("vgg-aib", {"attention.sigma_offset": -3.0}), NUM_CLASSES).eval()
    noise = model.draw_noise(3, 4, 1, generator())
    out: Output = model(images(3), noise)
    expected = drawn(out).mean_BHW + drawn(out).std_BHW * noise.attention_SBHW
    torch.testing.assert_close(drawn(out).draws_SBHW, expected)
    assert (drawn(out).draws_SBHW < 0).any()
    assert (drawn(out).draws_SBHW > 1).any()


def test_sigma_is_softplus_of_a_convolution_of_the_mean() -> None:
    attention = SpatialAttention(nn.Conv2d(4, 1, 3, padding=1), sigma_kernel=3, sigma_offset=5.0)
    f = torch.randn(2, 4, 6, 6, generator=generator())
    mean, std = attention(f)
    torch.testing.assert_close(mean, torch.sigmoid(attention.mean_path(f))[:, 0])
    by_hand = functional.conv2d(mean[:, None], attention.std_conv.weight, attention.std_conv.bias, padding=1)
    torch.testing.assert_close(std, torch.log1p(torch.exp(by_hand - 5))[:, 0])


def test_modulation_by_hand() -> None:
    f = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    scores = torch.tensor([[[[0.5, -1.0]]], [[[0.0, 2.0]]]])
    residual = [[[[1.5, 0.0]], [[4.5, 0.0]]], [[[1.0, 6.0]], [[3.0, 12.0]]]]
    product = [[[[0.5, -2.0]], [[1.5, -4.0]]], [[[0.0, 4.0]], [[0.0, 8.0]]]]
    assert modulate(f, scores, "residual").tolist() == residual
    assert modulate(f, scores, "product").tolist() == product


@pytest.mark.parametrize(("how", "dark"), [("residual", False), ("product", True)])
def test_modulation_field_reaches_the_model(how: str, dark: bool) -> None:
    """With a = 0 the product hides the image; the residual does not."""
    model = build_model(trial("vgg-aib", {"attention.modulation": how}), NUM_CLASSES).eval()
    noise = model.draw_noise(2, 1, 1, generator())
    with torch.no_grad():
        mean, std = model.attention(model.features(images(2)))
        zero = noise._replace(attention_SBHW=(-mean / std)[None], latent_STBK=torch.zeros(1, 1, 2, 5))
        means_BK = latent(model(images(2), zero)).mean_SBK[0]
    assert torch.allclose(means_BK[0], means_BK[1], rtol=1e-3, atol=1e-7) == dark


@MAPPED
def test_maps_are_a_function_of_the_image_alone(name: str) -> None:
    # Many anchors: with few, the map would be the same for every image before training.
    model = build_model(trial(name, {"attention.num_anchors": 4000}), NUM_CLASSES).eval()
    with torch.no_grad():
        first, second = (model(images(2), model.draw_noise(2, 2, 1, generator(seed))).maps for seed in (1, 2))
        alone = model(images(2)[:1], model.draw_noise(1, 1, 1, generator(3))).maps
    for key, map_Bhw in first.items():
        assert torch.equal(map_Bhw, second[key])
        assert not torch.equal(map_Bhw[0], map_Bhw[1])
        torch.testing.assert_close(alone[key], map_Bhw[:1], rtol=1e-4, atol=1 / 4000)


def test_the_aib_map_is_the_mean_and_quantized_where_the_model_quantizes() -> None:
    out = run(build_model(trial("vgg-aib"), NUM_CLASSES).eval(), 1, 1, 2)
    assert torch.equal(out.maps["attention"], drawn(out).mean_BHW.detach())
    model = build_model(trial("vgg-aib-qt"), NUM_CLASSES).eval()
    anchors = dict(model.named_parameters())["quantizer.anchors"]
    assert torch.isin(run(model, 1, 1, 2).maps["attention"], anchors).all()


def test_a_quantizing_model_multiplies_by_anchor_values() -> None:
    model = build_model(trial("wrn-aib-qt"), NUM_CLASSES).eval()
    out = run(model, 2, 1)
    assert drawn(out).quantized_SBHW is not None
    assert torch.equal(drawn(out).modulation_SBHW, drawn(out).quantized_SBHW)
    assert not torch.equal(drawn(out).modulation_SBHW, drawn(out).draws_SBHW)


def test_noise_is_standard_normal_and_keyed_by_its_generator() -> None:
    model = build_model(trial("vgg-aib"), NUM_CLASSES)
    noise = model.draw_noise(64, 4, 12, generator(5))
    assert noise.attention_SBHW.shape == (4, 64, 16, 16)
    assert noise.latent_STBK.shape == (4, 12, 64, 5)
    for field in noise:
        assert field.dtype == torch.float32
        assert abs(field.mean().item()) < 0.03
        assert abs(field.std().item() - 1) < 0.03
    again = model.draw_noise(64, 4, 12, generator(5))
    assert all(torch.equal(a, b) for a, b in zip(noise, again, strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_weights_depend_on_the_seed_alone(name: str) -> None:
    torch.manual_seed(1)
    first = build_model(trial(name), NUM_CLASSES).state_dict()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = build_model(trial(name), NUM_CLASSES).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    other = build_model(trial(name, {"seed": 1}), NUM_CLASSES).state_dict()
    stem = next(key for key in first if key.endswith("0.weight"))
    assert not torch.equal(first[stem], other[stem])


@pytest.mark.parametrize("name", MODELS)
def test_every_value_is_initialized(name: str) -> None:
    with holding_nan():
        state = build_model(trial(name), NUM_CLASSES).state_dict()
    assert all(value.isfinite().all() for value in state.values())
    assert all(value == 0 for key, value in state.items() if key.endswith("num_batches_tracked"))
    assert all((value == 0).all() for key, value in state.items() if key.endswith((".bias", "running_mean")))
    assert all((value == 1).all() for key, value in state.items() if key.endswith("running_var"))


def test_vgg_starts_xavier_uniform_with_batchnorm_weights_between_0_and_1() -> None:
    model = build_model(trial("vgg-aib", {"model.width": 0.5}), NUM_CLASSES)
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 10_000:
            cells = module.kernel_size[0] * module.kernel_size[1]
            bound = (2 * 6 / (cells * (module.in_channels + module.out_channels))) ** 0.5
            assert module.weight.abs().max().item() == pytest.approx(bound, rel=1e-2)
        if isinstance(module, nn.BatchNorm2d):
            assert 0 <= module.weight.min() < 0.2
            assert 0.8 < module.weight.max() < 1


def test_wrn_starts_normal_by_outputs_with_batchnorm_weights_1() -> None:
    model = build_model(trial("wrn-aib", {"model.width": 0.25}), NUM_CLASSES)
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 10_000:
            outputs = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
            assert module.weight.std().item() == pytest.approx((2 / outputs) ** 0.5, rel=2e-2)
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()


def test_attention_noise_starts_small() -> None:
    out = run(build_model(trial("vgg-aib", {"model.width": 0.25}), NUM_CLASSES), 1, 1)
    assert 0.001 < drawn(out).std_BHW.mean().item() < 0.03
    assert 0.001 < latent(out).std_SBK.mean().item() < 0.05


def test_width_scales_channels_but_neither_latents_nor_classes() -> None:
    state = build_model(trial("wrn-aib", {"model.width": 0.125}), NUM_CLASSES).state_dict()
    assert state["features.0.weight"].shape == (2, 3, 3, 3)
    assert state["features.2.0.conv1.weight"].shape == (40, 20, 3, 3)
    assert state["attention.mean_path.2.weight"].shape == (NUM_CLASSES, 80, 1, 1)
    assert state["encoder.4.weight"].shape == (10, 80)
    assert state["decoder.1.weight"].shape == (NUM_CLASSES, 5)
    tiny = build_model(trial("vgg-aib", {"model.width": 1e-4}), NUM_CLASSES)
    assert run(tiny, 1, 1).logits_STBC.shape == (1, 1, 3, NUM_CLASSES)


def test_bf16_autocast_leaves_draws_quantizer_and_logits_in_fp32() -> None:
    model = build_model(trial("vgg-aib-qt"), NUM_CLASSES).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = run(model, 2, 1)
    assert all(value.dtype == torch.float32 for value in tensors(out))
    assert torch.isin(drawn(out).modulation_SBHW, dict(model.named_parameters())["quantizer.anchors"]).all()
    torch.testing.assert_close(drawn(out).mean_BHW, drawn(run(model, 2, 1)).mean_BHW, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(("name", "backbone"), [("vgg-aib-qt", None), ("vgg-dvib", "vgg-16"), ("wrn-aib", "wrn-50-2")])
def test_the_bottleneck_is_fp32_under_bf16_autocast(name: str, backbone: str | None) -> None:
    """The latent's noise at the start, 0.007, is no larger than bf16's last digit of a mean around 1."""
    other = {} if backbone is None else {"model.backbone": backbone, "model.pretrained": "none"}
    model = build_model(trial(name, other), NUM_CLASSES).eval()
    noise = model.draw_noise(3, 1, 1, generator())
    assert noise.latent_STBK is not None
    nudged = noise._replace(latent_STBK=noise.latent_STBK + 0.01)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        out, moved = model(images(3), noise), model(images(3), nudged)
    for value in (latent(out).mean_SBK, out.logits_STBC):
        assert not torch.equal(value, value.bfloat16().float())
    assert (out.logits_STBC != moved.logits_STBC).float().mean() > 0.9


@pytest.mark.parametrize("name", MODELS)
def test_under_bf16_autocast_every_output_is_fp32_and_near(name: str) -> None:
    model = build_model(trial(name), NUM_CLASSES).eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        out = run(model, 1, 1)
    assert all(value.dtype == torch.float32 for value in tensors(out))
    torch.testing.assert_close(out.logits_STBC, run(model, 1, 1).logits_STBC, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("name", MODELS)
def test_channels_last_gives_the_same_numbers(name: str) -> None:
    model = build_model(trial(name), NUM_CLASSES).eval()
    plain = run(model, 2, 1).logits_STBC
    torch.testing.assert_close(run(model.to(memory_format=torch.channels_last), 2, 1).logits_STBC, plain)


def test_an_unknown_model_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'model.name' is 'vgg-abi-qt'; did you mean 'vgg-aib-qt'\?"):
        build_model(trial("vgg-abi-qt"), 10)


def test_dropout_is_refused_where_there_is_none() -> None:
    with pytest.raises(ConfigError, match=r"'model.dropout' is 0.3; allowed for vgg-aib: 0"):
        build_model(trial("vgg-aib", {"model.dropout": 0.3}), 10)


def test_wrn_dropout_acts_in_training_only() -> None:
    model = build_model(trial("wrn-aib", {"model.dropout": 0.5}), NUM_CLASSES)
    x = images(2)
    assert not torch.equal(model.train().features(x), model.features(x))
    assert torch.equal(model.eval().features(x), model.features(x))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg", "vgg-gap", "vgg-pan", "vgg-dvib", "vgg-att3", "vgg-aib-qt", "wrn-abn"])
def test_the_forward_pass_is_one_graph_for_the_compiler(name: str) -> None:
    """The compiler traces the whole model without falling back to Python; the eager backend gives the same numbers."""
    model = build_model(trial(name, {"data.image_size": 16}), NUM_CLASSES).eval()
    noise = model.draw_noise(3, 1, 1, generator())
    traced = torch.compile(model, backend="eager", fullgraph=True)
    for bf16 in (False, True):
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            for a, b in zip(tensors(traced(images(3, 16), noise)), tensors(model(images(3, 16), noise)), strict=True):
                torch.testing.assert_close(a, b)
