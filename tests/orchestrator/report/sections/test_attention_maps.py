import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from orchestrator.report.page.document import Picture, Text
from orchestrator.report.runs import choose_run
from orchestrator.report.sections.attention_maps import map_blocks
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


def test_the_best_finalists_examples_are_drawn_from_its_last_checkpoint(finished: Any, trials_folder: Path) -> None:
    view = finished.view()
    (picture,) = map_blocks(StudySource(view, trials_folder), choose_run(view))
    assert isinstance(picture, Picture)
    image = Image.open(io.BytesIO(picture.data))
    assert (image.format, image.width > 1000) == ("PNG", True)
    assert "f00003-seed1" in picture.caption
    assert "over 6 test images" in picture.alt
    assert "under interp_color_p8 5 keep their class, mean-centred cosine 0.25 on average" in picture.alt


def test_an_altered_checkpoint_is_not_drawn_and_the_page_says_why(finished: Any, trials_folder: Path) -> None:
    file = next(trials_folder.rglob("examples.safetensors"))
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    view = finished.view()
    (text,) = map_blocks(StudySource(view, trials_folder), choose_run(view))
    assert isinstance(text, Text)
    assert "No examples of f00003-seed1" in text.text
