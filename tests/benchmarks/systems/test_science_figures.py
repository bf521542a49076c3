"""The benchmarks that need neither Ray nor a server, at a small scale."""

import pytest

from tests.support.benchmark_script import quick

pytestmark = pytest.mark.slow


def test_input_pipeline_compares_the_same_images() -> None:
    figure = quick("systems.input_pipeline")
    assert figure["name"] == "input_pipeline"
    assert figure["ratio"] == pytest.approx(figure["ours"] / figure["other"], rel=1e-2)


def test_evaluation_gives_the_naive_result_in_eleven_passes() -> None:
    figure = quick("systems.evaluation")
    assert figure["name"] == "evaluation"
    assert figure["details"]["largest_logit_difference"] < 1e-4
    assert figure["details"]["modification_passes"] == 11
