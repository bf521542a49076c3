import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from orchestrator.report.page.document import Picture, Text
from orchestrator.report.runs import find_subject
from orchestrator.report.sections.maps_section import map_blocks
from orchestrator.report.sections.search_section import search_blocks
from orchestrator.report.source import StudySource
from tests.support.kept_answers import panels
from trainables.checkpoints.checkpoint import checkpoint_folder, write_checkpoint


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
    (picture,) = map_blocks(StudySource(view, trials_folder), find_subject(view))
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
    (text,) = map_blocks(StudySource(view, trials_folder), find_subject(view))
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
