"""Eq. 10 in both recipes equals hand values, torch.distributions and finite differences."""

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Normal, kl_divergence

from trainables.config.trial import TrialConfig
from trainables.models.build import MODELS, build_model
from trainables.models.classifier import AttentionDraws, Classifier, Latent, Noise, Output
from trainables.runtime.randomness import stream
from trainables.training.losses import LossTerms, loss_terms


def trial(model: str, recipe: str, changes: Mapping[str, object] | None = None) -> TrialConfig:
    small = {"model.width": 0.06, "bottleneck.latent_dim": 5, "data.image_size": 16, "attention.num_anchors": 6}
    return TrialConfig.from_dict({"recipe": recipe, "model": model, "dataset": "cifar10", **small, **(changes or {})})


def output(num_attention: int, num_latent: int, quantized: bool = True) -> Output:
    """Random fields of the right shapes: B=4, C=3, K=5, maps of 2x6 cells."""
    g = torch.Generator().manual_seed(0)
    s, t = num_attention, num_latent

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g, dtype=torch.float64)

    a = normal(s, 4, 2, 6).requires_grad_()
    quantized_SBHW = normal(s, 4, 2, 6).requires_grad_() if quantized else None
    return Output(
        logits_STBC=normal(s, t, 4, 3),
        maps={"attention": normal(4, 2, 6)},
        attention=AttentionDraws(a, a, quantized_SBHW, normal(4, 2, 6), normal(4, 2, 6).exp()),
        latent=Latent(normal(s, 4, 5), normal(s, 4, 5).exp()),
    )


def scores(out: Output) -> tuple[Tensor, Tensor]:
    """a and a_q."""
    assert out.attention is not None
    assert out.attention.quantized_SBHW is not None
    return out.attention.draws_SBHW, out.attention.quantized_SBHW


def latent(out: Output) -> Latent:
    assert out.latent is not None
    return out.latent


LABELS = torch.tensor([0, 2, 1, 2])


def nll_of_every_draw(logits_STBC: Tensor) -> Tensor:
    return -Categorical(logits=logits_STBC).log_prob(LABELS)


def test_paper_loss_is_equation_10() -> None:
    config, out = trial("vgg-aib-qt", "paper"), output(2, 3)
    nll = nll_of_every_draw(out.logits_STBC).mean()
    kl = kl_divergence(Normal(*latent(out)), Normal(0.0, 1.0)).sum(-1).mean()
    a, a_q = scores(out)
    distance = sum((a[s, b] - a_q[s, b]).norm() ** 2 for s in range(2) for b in range(4)) / (2 * 4)
    terms = loss_terms(out, LABELS, config)
    expected = LossTerms(nll + 0.01 * kl + 0.4 * distance + 0.1 * distance, nll, kl, distance, distance)
    assert terms.auxiliary_nll is None
    for found, value in zip(terms.present().values(), expected.present().values(), strict=True):
        assert found.shape == ()
        torch.testing.assert_close(found, value)


@pytest.mark.parametrize(("model", "kl_scale"), [("vgg-aib-qt", 0.5), ("wrn-aib-qt", 1.0)])
def test_released_loss_is_that_of_the_code(model: str, kl_scale: float) -> None:
    config, out = trial(model, "released"), output(2, 3)
    nll = nll_of_every_draw(out.logits_STBC.mean((0, 1))).mean()
    wide = Normal(latent(out).mean_SBK, latent(out).std_SBK.exp())
    kl = kl_divergence(wide, Normal(0.0, 1.0)).sum(-1).mean()
    a, a_q = scores(out)
    distance = (a - a_q).square().mean()
    terms = loss_terms(out, LABELS, config)
    expected = (nll + 0.01 * kl_scale * kl) / math.log(2) + 0.5 * distance
    torch.testing.assert_close(terms.total, expected)
    torch.testing.assert_close(terms.nll, nll)
    torch.testing.assert_close(terms.kl_nats, kl)
    torch.testing.assert_close(terms.codebook, distance)


def test_recipes_take_the_same_cross_entropy_of_a_single_draw() -> None:
    out = output(1, 1)
    paper, released = (loss_terms(out, LABELS, trial("vgg-aib-qt", r)).nll for r in ("paper", "released"))
    torch.testing.assert_close(paper, released)


def test_a_term_of_what_a_model_has_not_is_absent() -> None:
    out = output(1, 1, quantized=False)
    terms = loss_terms(out, LABELS, trial("vgg-aib", "paper"))
    assert set(terms.present()) == {"total", "nll", "kl_nats"}
    torch.testing.assert_close(terms.total, terms.nll + 0.01 * terms.kl_nats)
    plain = loss_terms(Output(out.logits_STBC, maps={}), LABELS, trial("vgg", "paper"))
    assert set(plain.present()) == {"total", "nll"}
    torch.testing.assert_close(plain.total, nll_of_every_draw(out.logits_STBC).mean())


@pytest.mark.parametrize(("recipe", "per_nat"), [("paper", 1.0), ("released", 1 / math.log(2))])
def test_a_second_head_adds_its_cross_entropy(recipe: str, per_nat: float) -> None:
    logits_STBC, auxiliary_BC = output(1, 1).logits_STBC, output(1, 1).logits_STBC[0, 0].flip(1) * 2
    out = Output(logits_STBC, maps={}, auxiliary_logits_BC=auxiliary_BC)
    terms = loss_terms(out, LABELS, trial("wrn-abn", recipe))
    perception, attention = (nll_of_every_draw(logits).mean() for logits in (logits_STBC[0, 0], auxiliary_BC))
    assert set(terms.present()) == {"total", "nll", "auxiliary_nll"}
    torch.testing.assert_close(terms.auxiliary_nll, attention)
    torch.testing.assert_close(terms.total, (perception + attention) * per_nat)


def test_the_dvib_loss_is_cross_entropy_and_weighted_divergence() -> None:
    out = output(1, 3)._replace(attention=None, maps={})
    terms = loss_terms(out, LABELS, trial("vgg-dvib", "paper", {"bottleneck.beta": 0.1}))
    kl = kl_divergence(Normal(*latent(out)), Normal(0.0, 1.0)).sum(-1).mean()
    torch.testing.assert_close(terms.total, nll_of_every_draw(out.logits_STBC).mean() + 0.1 * kl)


@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        ({"bottleneck.beta": 0.1}, (1, 10, 1, 1)),
        ({"bottleneck.kl_scale": 3.0}, (1, 3, 1, 1)),
        ({"attention.lambda_q": 0.8}, (1, 1, 2, 1)),
        ({"attention.lambda_c": 0.3}, (1, 1, 1, 3)),
        ({"bottleneck.units": "bits"}, (1 / math.log(2), 1 / math.log(2), 1, 1)),
        ({"attention.quantizer_reduction": "mean"}, (1, 1, 1 / 12, 1 / 12)),
    ],
)
def test_each_field_weights_its_own_term(changes: dict[str, object], factor: tuple[float, ...]) -> None:
    out = output(1, 2)
    plain = loss_terms(out, LABELS, trial("vgg-aib-qt", "paper"))
    changed = loss_terms(out, LABELS, trial("vgg-aib-qt", "paper", changes))
    parts = (plain.nll, 0.01 * plain.kl_nats, 0.4 * plain.codebook, 0.1 * plain.commitment)
    torch.testing.assert_close(changed.total, sum(f * part for f, part in zip(factor, parts, strict=True)))


def test_codebook_moves_anchors_only_and_commitment_the_attention_only() -> None:
    config = trial("vgg-aib-qt", "paper")
    first, second = output(1, 1), output(1, 1)
    loss_terms(first, LABELS, config).codebook.backward()
    loss_terms(second, LABELS, config).commitment.backward()
    (first_a, first_a_q), (second_a, second_a_q) = scores(first), scores(second)
    assert first_a.grad is None
    assert second_a_q.grad is None
    difference = (first_a - first_a_q).detach()
    torch.testing.assert_close(first_a_q.grad, -2 * difference / 4)
    torch.testing.assert_close(second_a.grad, 2 * difference / 4)


def in_float64(config: TrialConfig) -> tuple[Classifier, Tensor, Tensor, Noise]:
    g = torch.Generator().manual_seed(4)
    model = build_model(config, 3).double()
    noise = Noise(*(None if n is None else n.double() for n in model.draw_noise(4, 2, 3, g)))
    return model, torch.randn(4, 3, 16, 16, generator=g, dtype=torch.float64), LABELS, noise


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["paper", "released"])
@pytest.mark.parametrize("model_name", ["vgg-aib", "wrn-aib"])
def test_gradient_of_the_total_loss_is_its_finite_difference(model_name: str, recipe: str) -> None:
    config = trial(model_name, recipe, {"model.dropout": 0.0})
    model, x, labels, noise = in_float64(config)
    direction = {
        name: torch.randn(p.shape, generator=stream("direction", name), dtype=torch.float64)
        for name, p in model.named_parameters()
    }
    with torch.no_grad():  # biases start at 0, where the ReLU of a dead unit has no derivative
        for name, p in model.named_parameters():
            p.add_(torch.randn(p.shape, generator=stream("start", name), dtype=torch.float64), alpha=0.1)

    def loss() -> Tensor:
        return loss_terms(model(x, noise), labels, config).total

    loss().backward()
    for part in ("features", "attention.mean_path", "attention.std_conv", "encoder", "decoder"):
        moved = {name: p for name, p in model.named_parameters() if name.startswith(part)}
        slope = sum((p.grad * direction[name]).sum() for name, p in moved.items() if p.grad is not None)
        values = []
        with torch.no_grad():
            for step in (1e-7, -2e-7, 1e-7):
                for name, p in moved.items():
                    p.add_(direction[name], alpha=step)
                values.append(loss())
        torch.testing.assert_close((values[0] - values[1]) / 2e-7, slope, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_gradient_of_the_anchors_is_the_finite_difference_of_the_codebook_term() -> None:
    config = trial("vgg-aib-qt", "paper")
    model, x, labels, noise = in_float64(config)
    model.eval()
    anchors = dict(model.named_parameters())["quantizer.anchors"]
    loss_terms(model(x, noise), labels, config).total.backward()
    assert anchors.grad is not None
    slopes = []
    with torch.no_grad():
        for i in range(len(anchors)):
            values = []
            for step in (1e-7, -2e-7, 1e-7):
                anchors[i] += step
                values.append(loss_terms(model(x, noise), labels, config).codebook)
            slopes.append(0.4 * (values[0] - values[1]) / 2e-7)
    assert anchors.grad.abs().max() > 0
    torch.testing.assert_close(anchors.grad, torch.stack(slopes), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model_name", MODELS)
def test_every_parameter_gets_a_gradient_with_deterministic_algorithms(model_name: str) -> None:
    config = trial(model_name, "released")
    model, x, labels, noise = in_float64(config)
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        loss_terms(model(x, noise), labels, config).total.backward()
    finally:
        torch.use_deterministic_algorithms(before)
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
