"""The latent's posterior and KL agree with torch.distributions."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from trainables.models.bottleneck import kl_nats, latent_posterior, reparameterize


def test_exact_kl_is_that_of_torch_distributions() -> None:
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(3, 5, 7, generator=generator, dtype=torch.float64)
    std = torch.rand(3, 5, 7, generator=generator, dtype=torch.float64) * 2 + 1e-3
    expected = kl_divergence(Normal(mean, std), Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(kl_nats(mean, std), expected)


def test_released_kl_is_the_divergence_at_scale_exp_std() -> None:
    generator = torch.Generator().manual_seed(1)
    mean = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    std = torch.rand(4, 6, generator=generator, dtype=torch.float64)
    expected = kl_divergence(Normal(mean, std.exp()), Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(kl_nats(mean, std, "released"), expected)


def test_kl_by_hand() -> None:
    mean, std = torch.tensor([0.0, 3.0]), torch.tensor([1.0, 2.0])
    assert kl_nats(mean, std).item() == pytest.approx(0.5 * (9 + 4 - 1 - 2 * math.log(2)))
    assert kl_nats(torch.zeros(2), torch.ones(2)).item() == 0.0
    assert kl_nats(torch.zeros(2), torch.zeros(2), "released").item() == 0.0


def test_kl_at_the_start_of_training_is_of_the_published_size() -> None:
    # K = 256 at std 0.01: about 1 000 nats, while the released form is almost 0.
    mean, std = torch.zeros(256), torch.full((256,), 0.01)
    assert kl_nats(mean, std).item() == pytest.approx(256 * (math.log(100) - 0.5), rel=1e-3)
    assert kl_nats(mean, std, "released").item() < 0.1


def test_posterior_splits_the_head_into_mean_and_softplus_std() -> None:
    mean, std = latent_posterior(torch.tensor([[1.0, -2.0, 5.0, 0.0]]))
    torch.testing.assert_close(mean, torch.tensor([[1.0, -2.0]]))
    torch.testing.assert_close(std, torch.tensor([[math.log(2), math.log1p(math.exp(-5))]]))


def test_posterior_of_bf16_is_computed_in_fp32() -> None:
    h = torch.randn(64, 8, generator=torch.Generator().manual_seed(2)).bfloat16()
    mean, std = latent_posterior(h)
    assert mean.dtype == std.dtype == torch.float32
    torch.testing.assert_close(std, latent_posterior(h.float())[1], rtol=0, atol=0)


def test_draws_have_the_mean_and_spread_asked_for() -> None:
    noise = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(3))
    draws = reparameterize(torch.tensor([0.4, -1.0]), torch.tensor([0.01, 2.0]), noise)
    torch.testing.assert_close(draws.mean(0), torch.tensor([0.4, -1.0]), rtol=0, atol=0.02)
    torch.testing.assert_close(draws.std(0), torch.tensor([0.01, 2.0]), rtol=0.01, atol=0)
