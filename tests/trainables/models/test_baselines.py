"""Each baseline agrees with its formulas step by step, and one optimiser step changes every parameter."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.support.tiny_trial import tiny_trial
from trainables.config.recipes import RECIPES
from trainables.config.trial import TrialConfig
from trainables.models.build import MODELS, build_model
from trainables.models.classifier import Classifier, Output
from trainables.models.traits import TRAITS, fields_without_effect
from trainables.runtime.randomness import stream
from trainables.training.optim import build_optimizer, set_learning_rate
from trainables.training.step import train_step

NUM_CLASSES = 7


def model_of(name: str, side: int = 32) -> Classifier:
    config = TrialConfig.from_dict(
        {"model": name, "model.width": 0.06, "bottleneck.latent_dim": 5, "data.image_size": side}
    )
    return build_model(config, NUM_CLASSES).eval()


def images(num_images: int = 3, side: int = 32) -> Tensor:
    return torch.randn(num_images, 3, side, side, generator=stream("images"))


@torch.no_grad()
def run(model: Classifier, x_BCHW: Tensor) -> Output:
    result: Output = model(x_BCHW, model.draw_noise(len(x_BCHW), 1, 1, stream("noise")))
    return result


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_the_mean_of_the_activation_map_plus_the_bias_is_the_predicted_classs_logit() -> None:
    model = model_of("vgg-gap")
    nn.init.normal_(model.classifier.bias, generator=stream("bias"))
    out = run(model, images())
    logits_BC = out.logits_STBC[0, 0]
    predicted_B = logits_BC.argmax(1)
    close(out.maps["cam"].mean((1, 2)) + model.classifier.bias[predicted_B], logits_BC.amax(1))


def test_the_activation_map_takes_the_weights_of_the_predicted_class_cell_by_cell() -> None:
    model, x = model_of("vgg-gap"), images()
    out, f_BDhw = run(model, x), model.trunk(x).detach()
    for b in range(3):
        weights_D = model.classifier.weight[out.logits_STBC[0, 0, b].argmax()]
        close(out.maps["cam"][b], sum(w * f_hw for w, f_hw in zip(weights_D, f_BDhw[b], strict=True)).detach())


@pytest.mark.parametrize(("name", "names"), [("vgg-att2", ["l2", "l3"]), ("vgg-att3", ["l1", "l2", "l3"])])
def test_att_weights_and_averages_local_features_by_their_compatibility_with_the_global_one(
    name: str, names: list[str]
) -> None:
    model, x = model_of(name), images()
    out = run(model, x)
    with torch.no_grad():
        local, f = [], x
        for stage in model.stages:
            f = stage(f)
            local.append(f)
        g_BD11 = model.after[0](f)
        assert g_BD11.shape[2:] == (1, 1)
        attended = []
        for key, attend, features in zip(names, model.attention, local, strict=True):
            l_BDhw = functional.conv2d(features, attend.project.weight) if attend.project else features
            scores = torch.einsum("d,bdhw->bhw", attend.score.weight.flatten(), l_BDhw + g_BD11)
            close(out.maps[key], 1 / (1 + torch.exp(-scores)))
            attended.append(torch.einsum("bhw,bdhw->bd", out.maps[key], l_BDhw) / scores[0].numel())
        close(out.logits_STBC[0, 0], model.classifier(torch.cat(attended, 1)))
    assert [attend.project is not None for attend in model.attention] == [key == "l1" for key in names]


def test_pan_gates_features_after_every_pool_and_sums_the_last_under_a_softmax() -> None:
    model, x = model_of("vgg-pan"), images()
    out = run(model, x)
    with torch.no_grad():
        f = x
        for number, (stage, net) in enumerate(zip(model.stages, model.gates, strict=True), 1):
            f = stage(f)
            close(out.maps[f"gate{number}"], torch.sigmoid(net(f))[:, 0])
            f = f * out.maps[f"gate{number}"][:, None]
        f = model.after(f)
        scores = model.last(f)[:, 0]
        close(out.maps["last"], scores.exp() / scores.exp().sum((1, 2), keepdim=True))
        attended = torch.einsum("bhw,bdhw->bd", out.maps["last"], f)
        close(out.logits_STBC[0, 0], model.classifier(model.normalize(attended)))
    close(out.maps["last"].sum((1, 2)), torch.ones(3))


def test_abn_perceives_f_plus_a_f_and_classifies_its_attention_branch_too() -> None:
    model, x = model_of("wrn-abn"), images()
    out = run(model, x)
    with torch.no_grad():
        f = model.features(x)
        class_maps = model.class_maps(f)
        a_B1HW = torch.sigmoid(model.attention_map(class_maps))
        close(out.maps["attention"], a_B1HW[:, 0])
        close(out.logits_STBC[0, 0], model.perception(a_B1HW * f + f))
        weight_CC = model.attention_logits[0].weight[:, :, 0, 0]
        close(out.auxiliary_logits_BC, class_maps.mean((2, 3)) @ weight_CC.T)


def test_dvib_draws_around_the_encoders_mean_and_decodes() -> None:
    model, x = model_of("vgg-dvib"), images()
    noise = model.draw_noise(3, 4, 2, stream("many"))
    assert noise.attention_SBHW is None
    assert noise.latent_STBK.shape == (1, 2, 3, 5)
    with torch.no_grad():
        out = model(x, noise)
        mean, raw = model.encoder(model.features(x)).chunk(2, 1)
        std = functional.softplus(raw - 5)
        close(out.latent.mean_SBK[0], mean)
        close(out.latent.std_SBK[0], std)
        for t in range(2):
            close(out.logits_STBC[0, t], model.decoder(mean + std * noise.latent_STBK[0, t]))


@pytest.mark.parametrize(("name", "same"), [("vgg", "vgg-gap"), ("vgg", "vgg-att3"), ("wrn", "wrn-abn")])
def test_a_plain_model_is_its_backbone_and_no_noise_reaches_it(name: str, same: str) -> None:
    model, x = model_of(name), images()
    assert list(model.draw_noise(3, 2, 2, stream("noise"))) == [None, None]
    with torch.no_grad():
        close(run(model, x).logits_STBC[0, 0], model.encoder(model.features(x)))
    convolutions = [
        [tuple(m.weight.shape) for m in model_of(n).modules() if isinstance(m, nn.Conv2d)] for n in (name, same)
    ]
    assert all(convolutions[0].count(shape) <= convolutions[1].count(shape) for shape in convolutions[0])


@pytest.mark.parametrize("side", [16, 32])
@pytest.mark.parametrize("name", MODELS)
def test_one_step_moves_every_parameter(name: str, side: int) -> None:
    config = tiny_trial(model=name, data__image_size=side, optim__weight_decay=0.0)
    model = build_model(config, NUM_CLASSES).train()
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    labels_B = torch.arange(8) % NUM_CLASSES
    noise = model.draw_noise(8, 1, 1, stream("noise"))
    train_step(model, build_optimizer(model, config.optim), images(8, side), labels_B, noise, config)
    assert [key for key, p in model.named_parameters() if torch.equal(p, before[key])] == []


@pytest.mark.parametrize("name", MODELS)
def test_overfitting_a_batch_lowers_the_loss(name: str) -> None:
    config = tiny_trial(model=name, bottleneck__beta=1e-4, optim__lr=0.05, model__dropout=0.0)
    model = build_model(config, NUM_CLASSES).train()
    optimizer, labels_B = build_optimizer(model, config.optim), torch.arange(14) % NUM_CLASSES
    losses = [
        train_step(
            model, optimizer, images(14, 16), labels_B, model.draw_noise(14, 1, 1, stream("noise", step)), config
        ).nll.item()
        for step in range(25)
    ]
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_both_recipes(name: str, recipe: str) -> None:
    config = TrialConfig.from_dict({"model": name, "recipe": recipe, "dataset": "cifar10"})
    assert config.quantized == TRAITS[name].quantized
    own_schedule = (config.optim.decay_factor, config.optim.decay_at_epochs) == (0.2, (61, 121, 161))
    assert own_schedule == (name == "wrn-abn" or (recipe == "released" and name.startswith("wrn")))
    assert (config.data.crop_padding_mode == "zeros") == (name in ("vgg-att2", "vgg-att3", "wrn-abn"))


OTHERS: dict[str, object] = {
    "attention.num_anchors": 3,
    "attention.lambda_q": 9.0,
    "attention.lambda_c": 9.0,
    "attention.quantizer_reduction": "mean",
    "attention.sigma_kernel": 3,
    "attention.sigma_offset": 0.5,
    "attention.modulation": "product",
    "optim.anchor_lr_ratio": 0.1,
    "bottleneck.latent_dim": 3,
    "bottleneck.beta": 7.0,
    "bottleneck.kl": "released",
    "bottleneck.kl_scale": 3.0,
}


def after_a_step(name: str, changes: dict[str, object]) -> tuple[float, list[float]]:
    config = tiny_trial(model=name, model__dropout=0.0, **changes)
    model = build_model(config, NUM_CLASSES).train()
    noise = model.draw_noise(4, 1, 1, stream("noise"))
    optimizer = build_optimizer(model, config.optim)
    set_learning_rate(optimizer, config.optim.lr)
    terms = train_step(model, optimizer, images(4, 16), torch.arange(4), noise, config)
    return terms.total.item(), [p.sum().item() for p in model.parameters()]


@pytest.mark.parametrize("name", MODELS)
def test_exactly_the_fields_said_to_be_without_effect_change_nothing(name: str) -> None:
    plain = after_a_step(name, {})
    idle = set(OTHERS) & set(fields_without_effect(name))
    assert after_a_step(name, {key: OTHERS[key] for key in idle}) == plain
    for key in set(OTHERS) - idle:
        assert after_a_step(name, {key: OTHERS[key]}) != plain, key
