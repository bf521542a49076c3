"""The GPU benchmark on the CPU: every variant trains, and a machine without a GPU gets an error."""

import argparse
import json
from pathlib import Path

import pytest
import torch

from benchmarks.systems.gpu_step import FORMATS, PER_IMAGE, PLAIN, PRECISIONS, one_model, options
from tests.support.benchmark_script import quick, start


@pytest.mark.slow
def test_gpu_step_runs_every_variant_without_ray() -> None:
    figure = quick("systems.gpu_step", "--device", "cpu", "--modes", "eager", "--models", "vgg-aib-qt")
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


@pytest.mark.slow
def test_a_variant_that_fails_is_named_and_the_others_are_measured(tmp_path: Path) -> None:
    """The compiler is missing."""
    without = {"CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    result = start(
        "systems.gpu_step", "--quick", "--device", "cpu", "--precisions", "fp32", "--formats", "contiguous", **without
    )
    assert result.returncode == 0, result.stderr[-4000:]
    found = json.loads(result.stdout)["details"]["models"]["vgg-aib-qt"]
    assert set(found["images_per_s"]) == {PLAIN, PER_IMAGE, "fp32 contiguous eager"}
    assert list(found["failed"]) == ["fp32 contiguous compiled"]
    assert "no-such-compiler" in found["failed"]["fp32 contiguous compiled"]
    told = [json.loads(line) for line in result.stderr.splitlines() if line.startswith('{"model"')]
    assert [("parity" in one, set(one["images_per_s"])) for one in told] == [
        (whole, set(found["images_per_s"])) for whole in (False, True)
    ]


@pytest.mark.slow
def test_every_model_of_a_visit_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models have more variants than the compiler keeps graphs of one `forward`; a counting backend counts them."""
    graphs = []

    def counting(graph: torch.fx.GraphModule, _: object) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    compiled = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **kw: compiled(self, backend=counting, **kw))
    parser = argparse.ArgumentParser()
    options(parser)
    chosen = parser.parse_args(["--width", "0.0625", "--steps", "1", "--parity-steps", "1", "--modes", "compiled"])
    chosen.precisions, chosen.loader_workers = ["fp32", "tf32"], 0
    ceiling = dict.fromkeys(PRECISIONS, 1.0)
    counts = []
    for name in ("vgg-aib", "vgg-aib-qt"):
        found = one_model(name, chosen, torch.device("cpu"), 8, 1, ceiling)
        assert not found["failed"]
        counts.append(len(graphs))
    variants = 2 * len(FORMATS)
    assert counts == [variants + 1, 2 * (variants + 1)], "one for each variant, and one of the evaluation"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_gpu_step_without_a_gpu_says_so() -> None:
    result = start("systems.gpu_step")
    assert (result.returncode, result.stdout) == (2, "")
    assert "no GPU" in result.stderr
    assert "--device cpu" in result.stderr
