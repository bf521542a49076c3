import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from trainables import metrics
from trainables.config.trial import EvaluationConfig, TrialConfig
from trainables.errors import ConfigError, DivergedError
from trainables.interpretability.score import Predict, Prediction, score_interpretability
from trainables.runtime.sharding import Sharding

NUM_IMAGES, BATCH_SIZE, SIZE = 23, 5, 16
BATCHES = 5


def config(**changes: object) -> EvaluationConfig:
    return dataclasses.replace(TrialConfig.from_dict({}).evaluation, **changes)


def random_images(count: int = NUM_IMAGES, size: int = SIZE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, size, size, 3), generator=generator, dtype=torch.uint8)


def score(predict: Predict, images: torch.Tensor | None = None, **changes: object) -> dict[str, float]:
    images = random_images() if images is None else images
    shares = {"num_images": len(images), "batch_size": BATCH_SIZE, "rank": 0, "world_size": 1}
    sharding = Sharding(**{name: changes.pop(name, value) for name, value in shares.items()})
    arguments = {"occluders_MHWC": random_images(9, 12), "config": config(), "seed": 0}
    return score_interpretability(predict, images, sharding, **{**arguments, **changes})


def seeing(images_BHWC: torch.Tensor, _batch: int) -> Prediction:
    """A model whose labels and maps follow the pixels."""
    signal_BHW = images_BHWC[:, ::2, ::2].float().mean(-1)
    return Prediction((signal_BHW.mean(dim=(1, 2)) / 8).long() % 4, torch.sigmoid(signal_BHW / 128 - 1))


def fixed_labels(images_BHWC: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(images_BHWC), dtype=torch.long)


def test_every_metric_is_returned_once_and_is_finite():
    scores = score(seeing)
    assert set(scores) == set(metrics.INTERPRETABILITY)
    assert len(metrics.INTERPRETABILITY) == len(set(metrics.INTERPRETABILITY))
    assert all(math.isfinite(value) for value in scores.values())
    assert set(metrics.INTERP_SUMMARY) <= set(scores)


def test_model_that_ignores_the_image_but_has_a_pattern_scores_100_and_so_does_chance():
    pattern = torch.rand(8, 8, generator=torch.Generator().manual_seed(1))
    scores = score(lambda images, _: Prediction(fixed_labels(images), pattern.expand(len(images), -1, -1)))
    for name in metrics.MODIFICATIONS:
        assert scores[f"{name}_consistent_pct"] == 100
        for reading in metrics.INTERP_READINGS:
            assert scores[metrics.interp_metric(name, reading)] == 100
            assert scores[metrics.interp_metric(name, reading, "mean_cosine")] == pytest.approx(1)
    assert scores["interpretability_pct"] == scores["interp_centered_pct"] == 100
    assert scores["interp_chance_pct"] == scores["interp_centered_chance_pct"] == 100


def test_dead_flat_attention_does_not_win():
    scores = score(lambda images, _: Prediction(fixed_labels(images), torch.full((len(images), 8, 8), 0.9)))
    assert scores["interpretability_pct"] == scores["interp_centered_pct"] == 0
    assert scores["interp_raw_pct"] == scores["interp_raw_chance_pct"] == 100
    assert scores["interp_map_std"] == scores["interp_map_variation"] == 0
    assert scores["interp_map_entropy"] == pytest.approx(1)


def test_random_mostly_on_maps_agree_under_the_paper_reading_only_below_its_threshold_and_never_centered():
    generator = torch.Generator().manual_seed(0)
    scores = score(
        lambda images, _: Prediction(
            fixed_labels(images), 0.9 + 0.1 * torch.rand(len(images), 16, 16, generator=generator)
        )
    )
    assert scores["interp_centered_pct"] == scores["interp_centered_chance_pct"] == 0
    assert scores["interp_raw_pct"] == scores["interp_raw_chance_pct"] == 100
    for name in metrics.MODIFICATIONS:
        assert scores[f"{name}_mean_cosine"] == pytest.approx(0.75, abs=0.05)
        assert abs(scores[f"{name}_centered_mean_cosine"]) < 0.1


def test_score_is_the_consistent_share_of_the_images_whose_prediction_survives():
    """Hand case: of four images, two keep their class under every modification; one of these also keeps its map."""
    clean_maps = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]).repeat(4, 1, 1)
    moved_maps = clean_maps.clone()
    moved_maps[1] = torch.tensor([[2.0, 1.0], [3.0, 4.0]])  # cosines 29/30 raw, 13/14 min-max, 4/5 centred
    images = random_images(4)

    def predict(images_BHWC: torch.Tensor, _batch: int) -> Prediction:
        clean = torch.equal(images_BHWC, images)
        return Prediction(torch.tensor([0, 1, 2, 3] if clean else [0, 1, 0, 0]), clean_maps if clean else moved_maps)

    scores = score(predict, images)
    for name in metrics.MODIFICATIONS:
        assert scores[f"{name}_consistent_pct"] == 50
        assert [scores[f"{name}_{t}"] for t in metrics.INTERP_CURVE] == [100, 100, 50]
        assert [scores[f"{name}_raw_{t}"] for t in metrics.INTERP_CURVE] == [100, 100, 100]
        assert [scores[f"{name}_centered_{t}"] for t in metrics.INTERP_CURVE] == [50, 50, 50]
        assert scores[f"{name}_centered_mean_cosine"] == pytest.approx((1 + 4 / 5) / 2)
    assert score(predict, images, config=config(interp_threshold=0.93))["interpretability_pct"] == 50
    assert scores["interp_chance_pct"] == 100  # all clean maps are equal


def test_score_without_any_surviving_prediction_is_zero():
    images = random_images()

    def predict(images_BHWC: torch.Tensor, batch: int) -> Prediction:
        given = images[batch * BATCH_SIZE :][: len(images_BHWC)]
        label = 0 if torch.equal(images_BHWC, given) else 1
        return Prediction(torch.full((len(images_BHWC),), label), images_BHWC[..., 0].float())

    scores = score(predict, images)
    assert scores["interpretability_pct"] == 0
    assert scores["interp_color_p4_consistent_pct"] == scores["interp_color_p4_mean_cosine"] == 0


def test_eleven_passes_over_the_images_and_no_more():
    seen: list[tuple[int, int]] = []

    def predict(images_BHWC: torch.Tensor, batch: int) -> Prediction:
        seen.append((batch, len(images_BHWC)))
        return seeing(images_BHWC, batch)

    score(predict)
    assert sum(count for _, count in seen) == 11 * NUM_IMAGES
    assert all(seen.count((batch, BATCH_SIZE)) == 11 for batch in range(BATCHES - 1))


def test_modified_images_are_the_same_for_every_model_and_differ_with_the_seed():
    images = random_images(BATCH_SIZE).repeat(2, 1, 1, 1)

    def given_to(labels: int, seed: int) -> list[torch.Tensor]:
        given: list[torch.Tensor] = []

        def predict(images_BHWC: torch.Tensor, _batch: int) -> Prediction:
            given.append(images_BHWC)
            torch.rand(labels + 1)  # a model's own use of global randomness must not matter
            return Prediction(torch.full((len(images_BHWC),), labels), images_BHWC[..., 0].float())

        score(predict, images, seed=seed)
        return given

    assert not torch.equal(given_to(0, 0)[1], given_to(0, 0)[12]), "every batch has its own windows"
    first, second, other = given_to(0, 0), given_to(3, 0), given_to(0, 1)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_read_only_arrays_and_fewer_images_than_there_are_do():
    images = random_images().numpy()
    images.flags.writeable = False
    assert score(seeing, images, num_images=12) == score(seeing, random_images(12))


def test_the_ten_scores_exist_at_both_image_sizes():
    for size in (16, 32):
        assert set(score(seeing, random_images(6, size))) == set(metrics.INTERPRETABILITY)


def test_images_too_small_or_too_few_and_bad_occluders_are_refused_before_any_pass():
    def predict(_images: torch.Tensor, _batch: int) -> Prediction:
        raise AssertionError("the model must not run")

    with pytest.raises(ConfigError, match=r"16 x 16 pixels .*8 x 8"):
        score(predict, random_images(4, 8))
    with pytest.raises(ConfigError, match="not empty"):
        score(predict, random_images(4), num_images=5)
    with pytest.raises(ConfigError, match="at least 1"):
        score(predict, num_images=0)
    with pytest.raises(ConfigError, match=r"evaluation\.occluder_dataset"):
        score(predict, occluders_MHWC=torch.zeros(0, 4, 4, 3, dtype=torch.uint8))
    with pytest.raises(ConfigError, match=r"torch\.float32"):
        score(predict, random_images(4).float())


def test_maps_that_are_not_finite_are_an_error():
    with pytest.raises(DivergedError, match="interp_high_r4"):
        score(lambda images, _: Prediction(fixed_labels(images), torch.full((len(images), 4, 4), math.nan)))


def _score_on_rank(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    scores = score(seeing, rank=rank, world_size=2)
    np.save(f"{folder}/{rank}.npy", np.array([scores[name] for name in metrics.INTERPRETABILITY]))
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_with_an_uneven_last_batch_give_exactly_the_one_rank_figures(tmp_path: Path):
    mp.spawn(_score_on_rank, args=(str(tmp_path),), nprocs=2)
    alone = score(seeing)
    for rank in range(2):
        assert np.load(tmp_path / f"{rank}.npy").tolist() == [alone[name] for name in metrics.INTERPRETABILITY]


def test_further_maps_are_scored_like_the_headline_map_under_their_names() -> None:
    """A map that follows the image, and a headline map that does not."""

    def predict(images_BHWC: torch.Tensor, batch: int) -> Prediction:
        found = seeing(images_BHWC, batch)
        blind_B44 = torch.rand(4, 4, generator=torch.Generator().manual_seed(1)).expand(len(images_BHWC), -1, -1)
        return Prediction(found.labels_B, blind_B44, {"l1": found.maps_BHW, "l2": blind_B44})

    scores, alone = score(predict, further=("l1", "l2")), score(seeing)
    named = {metrics.of_map(name, metric) for name in ("l1", "l2") for metric in metrics.INTERP_FURTHER}
    assert set(scores) == {*metrics.INTERPRETABILITY, *named}
    for metric in metrics.INTERP_FURTHER:
        assert scores[f"l1/{metric}"] == alone[metric]
        assert scores[f"l2/{metric}"] == scores[metric]
    assert scores["l2/interp_centered_pct"] == 100 > scores["l1/interp_centered_pct"]


def test_a_further_map_that_is_not_finite_is_an_error_too() -> None:
    def predict(images_BHWC: torch.Tensor, batch: int) -> Prediction:
        found = seeing(images_BHWC, batch)
        return Prediction(found.labels_B, found.maps_BHW, {"l1": found.maps_BHW * math.nan})

    with pytest.raises(DivergedError, match="not finite"):
        score(predict, further=("l1",))
