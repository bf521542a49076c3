"""The GPU benchmark on the CPU: every variant steps, and a machine without a GPU is told so."""

import argparse
import json

import pytest
import torch

from benchmarks import gpu_step
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
    assert found["failed"] == {}


def test_gpu_step_tells_each_model_at_once_and_measures_what_is_asked_for() -> None:
    small = ("--quick", "--device", "cpu", "--precisions", "fp32", "--formats", "contiguous", "--modes", "eager")
    result = start("gpu_step", *small, "--models", "vgg", "vgg-aib")
    told = [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]
    assert [one["model"] for one in told] == ["vgg", "vgg-aib"]
    assert set(told[1]["images_per_s"]) == {PLAIN, PER_IMAGE, "fp32 contiguous eager"}


def test_each_model_s_variants_are_compiled_however_many_came_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a compiler that takes the graphs as they are; the limit of graphs of one function is the real one."""
    graphs = []

    def counted(graph: torch.fx.GraphModule, _: object) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    whole = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **options: whole(self, backend=counted, **options))
    parser = argparse.ArgumentParser()
    gpu_step.options(parser)
    chosen = parser.parse_args(["--device", "cpu", "--width", "0.0625", "--steps", "1", "--parity-steps", "1"])
    chosen.modes, found = ["compiled"], []
    for model in ("vgg-aib", "vgg-aib-qt"):
        before = len(graphs)
        gpu_step.one_model(model, chosen, torch.device("cpu"), 4, 1, dict.fromkeys(gpu_step.PRECISIONS, 1.0))
        found.append(len(graphs) - before)
    assert found[0] == found[1] > 6


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_gpu_step_without_a_gpu_says_so() -> None:
    result = start("gpu_step")
    assert (result.returncode, result.stdout) == (2, "")
    assert "no GPU" in result.stderr
    assert "--device cpu" in result.stderr
