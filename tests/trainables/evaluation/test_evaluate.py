"""Evaluation and gradients on two real ranks equal those on one rank."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from tests.support.tiny_trial import Reads, on_ranks, tiny_trial
from trainables.data.arrow_store import open_store
from trainables.data.augment import normalize
from trainables.data.splits import select
from trainables.evaluation.evaluate import Draws, evaluate, final_draws, predict_batch
from trainables.evaluation.final_score import interpretability, localization, occluders
from trainables.models.aib import distinct_maps
from trainables.models.build import build_model
from trainables.models.classifier import Noise
from trainables.models.traits import TRAITS
from trainables.runtime import numerics
from trainables.runtime.randomness import stream
from trainables.runtime.runtime import Runtime
from trainables.training.optim import build_optimizer
from trainables.training.step import train_step


def _evaluate(runtime: Runtime) -> dict[str, float]:
    config = tiny_trial(data__test_images=47)
    store = open_store(runtime.data_root, "cluttered-digits", 16)
    model, test = build_model(config, store.num_classes), select(store, config.data).test
    draws = final_draws(config)
    found = evaluate(model, test, "test", config, runtime, draws)
    found |= interpretability(model, test, config, occluders(config, runtime), runtime, draws)
    return found | localization(model, test, config, runtime, draws)


def test_two_ranks_evaluate_as_one_to_the_last_bit(digits_root: Path) -> None:
    """47 images in batches of 20: three batches, so two ranks have unequal shares, and the last batch is smaller."""
    first, second = on_ranks(2, _evaluate, digits_root)
    torch.set_num_threads(1)
    assert first == second == _evaluate(Runtime(data_root=digits_root))


@pytest.mark.parametrize("model", ["vgg-aib-qt", "vgg-att3", "vgg"])
def test_a_pass_over_the_images_never_waits_for_the_device(digits_root: Path, model: str) -> None:
    config = tiny_trial(model=model)
    store = open_store(digits_root, "cluttered-digits", 16)
    network, test = build_model(config, store.num_classes), select(store, config.data).test
    with Reads() as reads:
        evaluate(network, test, "test", config, Runtime(data_root=digits_root), Draws(1, 1))
    assert reads.count == 0


def _gradients(runtime: Runtime, **changes: object) -> dict[str, np.ndarray]:
    """Gradients of one step on 12 images in unequal shares, with frozen BatchNorm and given noise."""
    config = tiny_trial(model__dropout=0.0, **changes)
    store = open_store(runtime.data_root, "cluttered-digits", 16)
    images_NHWC, labels_N = select(store, config.data).train.batch(torch.arange(12).numpy())
    bare = build_model(config, store.num_classes)
    noise = bare.draw_noise(12, 1, 1, stream("joined"))
    bare.train()
    for module in bare.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.eval()
    model: nn.Module = DistributedDataParallel(bare) if runtime.world_size > 1 else bare
    rows = [slice(0, 12), slice(0, 7), slice(7, 12)][runtime.world_size - 1 + runtime.rank]
    share = (rows.stop - rows.start) * runtime.world_size / 12
    attention, latent = noise
    mine = Noise(None if attention is None else attention[:, rows], None if latent is None else latent[:, :, rows])
    optimizer = build_optimizer(bare, config.optim)
    train_step(model, optimizer, normalize(images_NHWC[rows], config.data), labels_N[rows], mine, config, share)
    return {name: p.grad.numpy() for name, p in bare.named_parameters() if p.grad is not None}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["paper", "released"])
def test_two_ranks_gradients_are_those_of_the_joined_batch(digits_root: Path, recipe: str) -> None:
    first, second = on_ranks(2, _gradients_of, digits_root, {"recipe": recipe})
    whole = _gradients_of(Runtime(data_root=digits_root), {"recipe": recipe})
    _assert_equal_shares(first, second, whole)


def _gradients_of(runtime: Runtime, *trials: dict[str, object]) -> dict[str, np.ndarray]:
    return {
        f"{number} {name}": gradient
        for number, changes in enumerate(trials)
        for name, gradient in _gradients(runtime, **changes).items()
    }


@pytest.mark.slow
def test_two_ranks_gradients_of_the_baselines_are_those_of_the_joined_batch(digits_root: Path) -> None:
    trials = [{"model": name} for name, has in TRAITS.items() if not has.draws_attention]
    first, second = on_ranks(2, _gradients_of, digits_root, *trials)
    _assert_equal_shares(first, second, _gradients_of(Runtime(data_root=digits_root), *trials))


def _assert_equal_shares(
    first: dict[str, np.ndarray], second: dict[str, np.ndarray], whole: dict[str, np.ndarray]
) -> None:
    assert first.keys() == second.keys() == whole.keys()
    for name, gradient in whole.items():
        assert np.array_equal(first[name], second[name])
        np.testing.assert_allclose(first[name], gradient, rtol=1e-4, atol=1e-6, err_msg=name)


def test_many_draws_are_the_naive_forward_passes(digits_root: Path) -> None:
    config = tiny_trial()
    store = open_store(digits_root, "cluttered-digits", 16)
    model = build_model(config, store.num_classes).eval()
    images_BHWC, _ = select(store, config.data).test.batch(torch.arange(5).numpy())
    logits_BC, _ = predict_batch(model, images_BHWC, config, Draws(4, 12), stream("draws"))
    noise = model.draw_noise(5, 4, 12, stream("draws"))
    naive = []
    with torch.no_grad():
        for s in range(4):
            for t in range(12):
                one = Noise(noise.attention_SBHW[s : s + 1], noise.latent_STBK[s : s + 1, t : t + 1])
                naive.append(model(normalize(images_BHWC, config.data), one).logits_STBC[0, 0])
    torch.testing.assert_close(logits_BC, torch.stack(naive).mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_anchors", [2, 20])
def test_draws_that_quantise_to_one_map_share_the_encoder(digits_root: Path, num_anchors: int) -> None:
    config = tiny_trial(attention__num_anchors=num_anchors)
    store = open_store(digits_root, "cluttered-digits", 16)
    model = build_model(config, store.num_classes).eval()
    images_BHWC, _ = select(store, config.data).test.batch(torch.arange(6).numpy())
    x_BCHW, noise = normalize(images_BHWC, config.data), model.draw_noise(6, 4, 2, stream("draws"))
    assert noise.attention_SBHW is not None
    # Draws 1 and 3 repeat draw 0 for every image, draw 2 for every second one.
    noise.attention_SBHW[1] = noise.attention_SBHW[3] = noise.attention_SBHW[0]
    noise.attention_SBHW[2, ::2] = noise.attention_SBHW[0, ::2]
    encoded = []
    handle = model.get_submodule("encoder").register_forward_pre_hook(lambda _, inputs: encoded.append(len(inputs[0])))
    every = model(x_BCHW, noise)
    with torch.inference_mode():
        once = model(x_BCHW, noise)
    handle.remove()
    assert encoded[0] == 24
    assert 6 <= encoded[1] <= 9
    torch.testing.assert_close(once.logits_STBC, every.logits_STBC.detach(), rtol=1e-5, atol=1e-6)
    assert once.latent is not None
    assert every.latent is not None
    torch.testing.assert_close(once.latent.mean_SBK, every.latent.mean_SBK.detach(), rtol=1e-5, atol=1e-6)
    assert torch.equal(once.latent.mean_SBK[1], once.latent.mean_SBK[0])


@pytest.mark.parametrize(
    ("model", "draws", "tunes"), [("vgg-aib-qt", 4, False), ("vgg-aib-qt", 1, True), ("vgg-aib", 4, True)]
)
def test_cudnn_tunes_only_for_batches_of_a_steady_size(model: str, draws: int, tunes: bool) -> None:
    config = tiny_trial(model=model, numerics__deterministic=False)
    numerics.apply(config, torch.device("cpu"))
    network, found = build_model(config, 10).eval(), []
    network.get_submodule("encoder").register_forward_hook(lambda *_: found.append(torch.backends.cudnn.benchmark))
    images_BHWC = torch.zeros(2, 16, 16, 3, dtype=torch.uint8)
    predict_batch(network, images_BHWC, config, Draws(draws, 1), stream("draws"))
    assert found == [tunes]
    assert torch.backends.cudnn.benchmark
    numerics.apply(tiny_trial(), torch.device("cpu"))


def test_distinct_maps_stand_for_all_maps() -> None:
    maps_SBHW = torch.randint(0, 2, (5, 7, 1, 2), generator=stream("maps")).float()
    draw_P, image_P, place_SB = distinct_maps(maps_SBHW)
    kept = maps_SBHW[draw_P, image_P]
    assert torch.equal(kept[place_SB], maps_SBHW)
    for image in range(7):
        own = kept[image_P == image].flatten(1)
        assert len(own) == len(own.unique(dim=0)) == len(maps_SBHW[:, image].flatten(1).unique(dim=0))
