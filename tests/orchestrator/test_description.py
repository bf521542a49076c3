"""What `aib describe` says of every model."""

from pathlib import Path

import pytest

from orchestrator.description import describe_model
from trainables.models.build import MODELS
from trainables.models.traits import traits


@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_described_with_its_maps(tmp_path: Path, model: str) -> None:
    found = describe_model(tmp_path, model, "cifar10", [])
    assert tuple(found["maps"]) == traits(model).maps
    headline = next(iter(traits(model).maps), None)
    assert found["attention_map"] == (found["maps"][headline] if headline else None)
    assert found["parameters_with_buffers"] > found["parameters"] > 19e6
    assert found["macs"] > 3e9
