"""The GPU benchmark on the CPU: every variant steps, and a machine without a GPU is told so."""

import pytest
import torch

from benchmarks.gpu_step import PER_IMAGE, PLAIN
from tests.benchmarks.script import quick, start


def test_gpu_step_runs_every_variant_without_ray() -> None:
    figure = quick("gpu_step", "--device", "cpu", "--modes", "eager", "--models", "vgg-aib-qt")
    found = figure["details"]["models"]["vgg-aib-qt"]
    variants = {f"{p} {f} eager" for p in ("fp32", "tf32", "bf16") for f in ("contiguous", "channels_last")}
    assert set(found["images_per_s"]) == {PLAIN, PER_IMAGE} | variants
    assert figure["other"] == found["images_per_s"][PER_IMAGE]
    ceiling = figure["details"]["matrix_product_macs_per_s"]
    for label, share in found["share_of_matrix_product"].items():
        macs_per_s = 3 * found["macs_per_image"] * found["images_per_s"][label]
        assert share == pytest.approx(macs_per_s / ceiling[label.split()[0] if label in variants else "fp32"], rel=1e-2)
    assert "not a measured training" in found["extrapolated"]["what"]
    assert found["extrapolated"]["minutes"] > 0
    assert len(found["parity"]["last_loss"]["bf16"]) == 3


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_gpu_step_without_a_gpu_says_so() -> None:
    result = start("gpu_step")
    assert (result.returncode, result.stdout) == (2, "")
    assert "no GPU" in result.stderr
    assert "--device cpu" in result.stderr
