import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from orchestrator.report.document import Picture, Text
from orchestrator.report.maps_section import map_blocks, seen, side_by_side_blocks
from orchestrator.report.search_section import search_blocks
from orchestrator.report.source import Source
from orchestrator.report.subject import find_subject, find_subjects
from orchestrator.resolve import resolve_trial
from tests.orchestrator.report.kept import keep_answers, panels, verdicts
from trainables.checkpoint import checkpoint_folder, write_checkpoint
from trainables.data.store import open_store


@pytest.fixture
def trials_folder(tmp_path: Path) -> Path:
    """The best finalist's best seed has a checkpoint with eight examples."""
    state = {"config": {}, "data": {"class_names": ["<zero>", "one"]}}
    folder = checkpoint_folder(tmp_path / "f00003-seed1", 6)
    folder.parent.mkdir(parents=True)
    write_checkpoint(folder, {"examples": panels(8).to_tensors()}, state)
    return tmp_path


def test_the_best_finalists_examples_are_drawn_from_its_last_checkpoint(told: Any, trials_folder: Path) -> None:
    view = told.view()
    (picture,) = map_blocks(Source(view, trials_folder), find_subject(view))
    assert isinstance(picture, Picture)
    image = Image.open(io.BytesIO(picture.data))
    assert (image.format, image.width > 1000) == ("PNG", True)
    assert "f00003-seed1" in picture.caption
    assert "over 6 test images" in picture.alt
    assert "under interp_color_p8 the class stays in 5, mean-centred cosine 0.25 on average" in picture.alt


def test_an_altered_checkpoint_is_not_drawn_and_the_page_says_why(told: Any, trials_folder: Path) -> None:
    file = next(trials_folder.rglob("examples.safetensors"))
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    view = told.view()
    (text,) = map_blocks(Source(view, trials_folder), find_subject(view))
    assert isinstance(text, Text)
    assert "No examples of f00003-seed1" in text.text


def test_history_is_told_in_words_with_the_number_of_trials_of_each_standing(told: Any) -> None:
    view = told.view()
    history, tradeoff, *_ = search_blocks(view)
    assert isinstance(history, Picture)
    assert isinstance(tradeoff, Picture)
    assert "3 full length, 1 breaks a constraint, 2 stopped early, 1 failed, 1 running" in history.alt
    assert "goes from 30.9 (trial 1 in order) to 21.9 (trial 4)" in history.alt
    assert "2 on the Pareto front: t00003" in tradeoff.alt


def test_a_search_without_interpretability_draws_no_tradeoff(told: Any) -> None:
    for record in told.state.trials.values():
        for row in record.history:
            row.pop("interp_centered_pct")
    view = told.view()
    history, note, *_ = search_blocks(view)
    assert isinstance(history, Picture)
    assert isinstance(note, Text)
    assert "not scored" in note.text


@pytest.fixture
def pair(story: Any, tmp_path: Path) -> Source:
    """A model without and one with a quantiser, tested on the same forty images, with their checkpoints."""
    study = story(
        trial={"dataset": "cluttered-digits", "epochs": 6, "model.width": 0.125},
        space={"model.name": {"choice": ["vgg-aib", "vgg-aib-qt"]}},
        constraints=[],
    )
    for place, (model, wrong) in enumerate((("vgg-aib", (3, 5, 8)), ("vgg-aib-qt", (5, 9)))):
        study.trial(f"t{place:05d}", 30.0, params={"model.name": model})
        keep_answers(tmp_path / f"t{place:05d}", verdicts(wrong))
    return Source(study.view(), tmp_path)


def test_models_that_saw_the_same_images_stand_side_by_side(pair: Source) -> None:
    picture, *_ = side_by_side_blocks(seen(pair, find_subjects(pair.view)))
    assert isinstance(picture, Picture)
    assert picture.id == "side-by-side-cluttered-digits-1"
    assert "under vgg-aib, vgg-aib-qt" in picture.caption
    assert "vgg-aib keeps its map in 8 of 8 changes" in picture.alt


def test_cases_that_quantising_corrects_are_counted_both_ways(pair: Source) -> None:
    _, text = side_by_side_blocks(seen(pair, find_subjects(pair.view)))
    assert isinstance(text, Text)
    assert "vgg-aib-qt gets 2 right that vgg-aib gets wrong, and 1 wrong that vgg-aib gets right" in text.text
    assert "the data set is not at hand" in text.text


def test_corrected_cases_are_drawn_from_the_data_that_the_trials_saw(
    pair: Source, digits_root: Path, tmp_path: Path
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
    _, _, picture = side_by_side_blocks(seen(source, find_subjects(source.view)))
    assert isinstance(picture, Picture)
    assert picture.id == "corrected-cluttered-digits-vgg-aib"
    assert picture.alt.startswith("2 images with the maps of both models")


def test_one_model_alone_is_said_to_have_none_beside_it(pair: Source) -> None:
    (text,) = side_by_side_blocks(seen(pair, find_subjects(pair.view))[:1])
    assert isinstance(text, Text)
    assert "no maps to set side by side" in text.text
