import pytest
import torch

from trainables import metrics
from trainables.errors import DataError, DivergedError
from trainables.interpretability.localization import SUMS, localization_metrics, localization_sums, score_localization
from trainables.interpretability.score import Prediction
from trainables.runtime.sharding import Sharding
from trainables.runtime.sums import BatchSums


def located(maps: torch.Tensor, masks: torch.Tensor) -> dict[str, float]:
    sums = BatchSums(1, SUMS)
    sums.add(0, localization_sums(maps, masks))
    return localization_metrics(sums.totals())


def left_half_mask(count: int = 1) -> torch.Tensor:
    mask = torch.zeros(count, 8, 8, dtype=torch.bool)
    mask[:, :, :4] = True
    return mask


def test_hand_values_of_a_map_with_three_quarters_inside():
    maps = torch.tensor([[[3.0, 1.0], [3.0, 1.0]]])
    assert located(maps, left_half_mask()) == pytest.approx(
        dict(zip(metrics.LOCALIZATION, (75.0, 50.0, 1.5, 100.0, 2.0), strict=True))
    )


@pytest.mark.parametrize("level", [1.0, 0.3, 0.9871, 0.0])
def test_flat_map_has_ratio_exactly_one(level: float):
    masks = torch.rand(7, 32, 32, generator=torch.Generator().manual_seed(0)) > 0.7
    found = located(torch.full((7, 16, 16), level), masks)
    assert found["attention_in_mask_ratio"] == 1.0
    assert found["attention_in_mask_minmax_ratio"] == 1.0
    assert found["attention_in_mask_pct"] == found["mask_area_pct"]


def test_mask_counts_by_the_area_it_covers_of_a_cell():
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, :2, :2] = True  # a quarter of the first of four cells
    found = located(torch.tensor([[[2.0, 0.0], [0.0, 0.0]]]), mask)
    assert found["mask_area_pct"] == pytest.approx(100 * 4 / 64)
    assert found["attention_in_mask_pct"] == pytest.approx(25.0)
    assert found["attention_in_mask_ratio"] == pytest.approx(4.0)


def test_images_without_an_object_are_left_out_and_none_at_all_is_an_error():
    masks = left_half_mask(2)
    masks[1] = False
    maps = torch.tensor([[[3.0, 1.0], [3.0, 1.0]], [[0.0, 9.0], [0.0, 9.0]]])
    assert located(maps, masks)["attention_in_mask_pct"] == pytest.approx(75.0)
    with pytest.raises(DataError, match="no object mask has a pixel set"):
        located(maps, torch.zeros_like(masks))


def test_maps_that_are_not_finite_are_an_error():
    with pytest.raises(DivergedError):
        located(torch.full((1, 2, 2), float("nan")), left_half_mask())


def test_sums_do_not_depend_on_batches_and_every_image_counts_once():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (23, 16, 16, 3), generator=generator, dtype=torch.uint8)
    masks = (torch.rand(23, 16, 16, generator=generator) > 0.6).numpy()

    def predict(images_BHWC: torch.Tensor, _batch: int) -> Prediction:
        maps = images_BHWC[:, ::2, ::2, 0].float() / 255
        return Prediction(torch.zeros(len(maps), dtype=torch.long), maps)

    small, whole = (
        score_localization(predict, images.numpy(), masks, Sharding(num_images=23, batch_size=size)) for size in (5, 23)
    )
    assert small == pytest.approx(whole)
    assert set(whole) == set(metrics.LOCALIZATION)
    assert whole["mask_area_pct"] == pytest.approx(100 * masks.mean())
