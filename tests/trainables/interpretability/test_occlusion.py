import pytest
import torch

from trainables.errors import ConfigError
from trainables.interpretability.occlusion import occlude_with_color, occlude_with_images
from trainables.runtime.randomness import stream

MID_GREY = 128


def grey_images(count: int, height: int = 12, width: int = 16) -> torch.Tensor:
    return torch.full((count, height, width, 3), MID_GREY, dtype=torch.uint8)


def windows(changed_HW: torch.Tensor) -> tuple[int, int, int, int]:
    rows, columns = changed_HW.any(1).nonzero().flatten(), changed_HW.any(0).nonzero().flatten()
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


def test_color_window_covers_exactly_p_by_p_pixels_in_one_color_per_image():
    before = grey_images(200)
    after = occlude_with_color(before, 5, stream(0, "color"))
    assert (before == MID_GREY).all(), "the input images must not change"
    for image in after:
        changed = (image != MID_GREY).any(-1)
        if not changed.any():
            continue  # the random colour can equal the background
        top, bottom, left, right = windows(changed)
        assert (bottom - top + 1, right - left + 1) == (5, 5)
        assert len(image[top : bottom + 1, left : right + 1].reshape(-1, 3).unique(dim=0)) == 1
        assert int(changed.sum()) == 25
    assert len({tuple(image[(image != MID_GREY).any(-1)][0].tolist()) for image in after}) > 150


def test_window_positions_are_uniform_over_all_that_fit_and_reach_the_rim():
    occluders = torch.full((1, 4, 4, 3), 255, dtype=torch.uint8)
    count, places = 6000, (12 - 5 + 1) * (16 - 5 + 1)
    after = occlude_with_images(grey_images(count), 5, occluders, stream(0, "places"))
    white = (after[..., 0] == 255).double()
    assert (white.sum(dim=(1, 2)) == 25).all()
    corners = torch.stack([white.amax(2).argmax(1), white.amax(1).argmax(1)], dim=1)
    seen, counts = corners.unique(dim=0, return_counts=True)
    assert len(seen) == places
    expected = count / places
    chi_squared = float(((counts - expected) ** 2 / expected).sum())
    assert chi_squared < 145, "99.9 % point of chi-squared with 95 degrees of freedom"


def test_color_is_uniform_over_rgb():
    colors = occlude_with_color(grey_images(4000, 1, 1), 1, stream(1, "rgb"))[:, 0, 0].double()
    assert colors.mean(0) == pytest.approx([127.5] * 3, abs=5)
    assert colors.std(0) == pytest.approx([73.9] * 3, abs=3)


def test_occluder_of_the_window_size_is_pasted_unchanged_and_each_is_used():
    occluders = torch.randint(0, 100, (7, 4, 4, 3), dtype=torch.uint8)
    after = occlude_with_images(grey_images(100), 4, occluders, stream(0, "images"))
    used = set()
    for image in after:
        top, _, left, _ = windows((image != MID_GREY).any(-1))
        patch = image[top : top + 4, left : left + 4]
        used |= {i for i, occluder in enumerate(occluders) if torch.equal(patch, occluder)}
    assert used == set(range(7))


def test_occluder_is_resized_bilinearly_as_a_whole():
    ramp = torch.arange(0, 256, 8, dtype=torch.uint8).repeat(32, 1)[None, :, :, None].expand(-1, -1, -1, 3)
    image = occlude_with_images(grey_images(1, 4, 4), 4, ramp, stream(0))[0, :, :, 0].double()
    assert image[0, 0] < 60
    assert image[0, 3] > 190
    assert (image.diff(dim=1) > 0).all()
    assert (image == image[0]).all()


def test_window_of_the_image_size_covers_it_whole_and_a_larger_one_is_refused():
    covered = occlude_with_color(grey_images(3, 16, 16), 16, stream(5))
    assert all(len(image.reshape(-1, 3).unique(dim=0)) == 1 for image in covered)
    with pytest.raises(ConfigError, match=r"16 x 16 pixels .* 8 x 8.*data\.image_size"):
        occlude_with_color(grey_images(3, 8, 8), 16, stream(5))


def test_same_stream_gives_the_same_occlusion():
    first, second = (occlude_with_color(grey_images(9), 4, stream(3, "x")) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, occlude_with_color(grey_images(9), 4, stream(4, "x")))
