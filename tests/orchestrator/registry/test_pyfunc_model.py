"""The answers of a served model with a map and of one without."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from orchestrator.registry.pyfunc_model import ARTIFACT, AIBModel
from tests.orchestrator.registry.conftest import export_tiny, random_images
from trainables.evaluation.inference import infer
from trainables.export import load_exported


@pytest.mark.parametrize("model", ["vgg-att2", "vgg"])
def test_an_answer_has_the_rows_of_the_map_or_none(tmp_path: Path, model: str) -> None:
    folder, images_NHWC = export_tiny(tmp_path / "export", model=model), random_images(2)
    served = AIBModel()
    served.load_context(SimpleNamespace(artifacts={ARTIFACT: str(folder)}))
    answers, expected = served.predict(None, images_NHWC), infer(load_exported(folder), images_NHWC)
    assert [answer["probabilities"] for answer in answers] == expected.probabilities_NC.tolist()
    if expected.maps_Nhw is None:
        assert [answer["attention"] for answer in answers] == [None, None]
    else:
        assert np.asarray([answer["attention"] for answer in answers]).shape == (2, 2, 2)
        assert [answer["attention"] for answer in answers] == expected.maps_Nhw.tolist()
