from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.planning.trials import resolve_trial
from orchestrator.report.page.document import Picture, Text
from orchestrator.report.paper.maps_side_by_side import side_by_side_blocks
from orchestrator.report.runs import choose_runs, with_checkpoints
from orchestrator.report.source import StudySource
from tests.support.kept_answers import keep_answers, verdicts
from trainables.data.arrow_store import open_store


@pytest.fixture
def pair(new_study: Any, tmp_path: Path) -> StudySource:
    """A model without and one with a quantiser, tested on the same forty images, with their checkpoints."""
    study = new_study(
        trial={"dataset": "cluttered-digits", "epochs": 6, "model.width": 0.125},
        space={"model.name": {"choice": ["vgg-aib", "vgg-aib-qt"]}},
        constraints=[],
    )
    for place, (model, wrong) in enumerate((("vgg-aib", (3, 5, 8)), ("vgg-aib-qt", (5, 9)))):
        study.trial(f"t{place:05d}", 30.0, params={"model.name": model})
        keep_answers(tmp_path / f"t{place:05d}", verdicts(wrong))
    return StudySource(study.view(), tmp_path)


def test_models_that_saw_the_same_images_stand_side_by_side(pair: StudySource) -> None:
    picture, *_ = side_by_side_blocks(with_checkpoints(pair, choose_runs(pair.view)))
    assert isinstance(picture, Picture)
    assert picture.id == "side-by-side-cluttered-digits-1"
    assert "under vgg-aib, vgg-aib-qt" in picture.caption
    assert "vgg-aib keeps its map under 8 of 8 modifications" in picture.alt


def test_cases_that_quantising_corrects_are_counted_both_ways(pair: StudySource) -> None:
    _, text = side_by_side_blocks(with_checkpoints(pair, choose_runs(pair.view)))
    assert isinstance(text, Text)
    assert "vgg-aib-qt gets 2 right that vgg-aib gets wrong, and 1 wrong that vgg-aib gets right" in text.text
    assert "the data set is not available here" in text.text


def test_corrected_cases_are_drawn_from_the_data_that_the_trials_saw(
    pair: StudySource, digits_root: Path, tmp_path: Path
) -> None:
    store = open_store(digits_root, "cluttered-digits", 16)
    config = resolve_trial(pair.view.spec, {}).override({"data.image_size": 16, "data.test_images": 40})
    state = {
        "config": config.to_dict(),
        "data": {"class_names": list(store.class_names), "digest": store.digest},
    }
    for place, wrong in enumerate(((3, 5, 8), (5, 9))):
        keep_answers(tmp_path / "again" / f"t{place:05d}", verdicts(wrong), **state)
    source = replace(pair, trials=tmp_path / "again", data=digits_root)
    _, _, picture = side_by_side_blocks(with_checkpoints(source, choose_runs(source.view)))
    assert isinstance(picture, Picture)
    assert picture.id == "corrected-cluttered-digits-vgg-aib"
    assert picture.alt.startswith("2 images with the maps of both models")


def test_one_model_alone_is_said_to_have_none_beside_it(pair: StudySource) -> None:
    (text,) = side_by_side_blocks(with_checkpoints(pair, choose_runs(pair.view))[:1])
    assert isinstance(text, Text)
    assert "no maps to compare side by side" in text.text
