from pathlib import Path
from typing import Any

from orchestrator.report.page.document import Block, Picture, Table, Text
from orchestrator.report.runs import find_subject
from orchestrator.report.sections.trial_section import trial_blocks
from orchestrator.report.source import StudySource
from tests.support.kept_answers import keep_answers


def blocks(study: Any, trials: Path) -> tuple[Block, ...]:
    view = study.view()
    return trial_blocks(StudySource(view, trials), find_subject(view))


def by_id(found: tuple[Block, ...]) -> dict[str, Any]:
    return {block.id: block for block in found if isinstance(block, (Picture, Table))}


def test_a_run_is_shown_with_what_its_checkpoint_keeps(told: Any, tmp_path: Path) -> None:
    keep_answers(tmp_path / "f00003-seed1")
    found = by_id(blocks(told, tmp_path))
    assert list(found) == [
        "curves-figure", "information", "thresholds", "localization", "scores-histogram", "confusion", "worst",
    ]  # fmt: skip
    assert found["scores-histogram"].alt.endswith("4 of 5 anchors take cells, anchors lie from 0.000 to 1.000.")
    assert found["confusion"].alt.startswith("3 of 40 test images are wrong. Most often: two taken for <zero> 2 times")
    assert "<zero> taken for one at 90%" in found["worst"].alt
    rows = [row.cells for row in found["localization"].rows]
    assert [cells[0] for cells in rows] == ["as they are", "stretched to [0, 1]"]


def test_without_a_checkpoint_the_curves_stand_alone_and_the_page_says_why(told: Any, tmp_path: Path) -> None:
    found = blocks(told, tmp_path)
    assert list(by_id(found)) == ["curves-figure", "information", "thresholds", "localization"]
    (note,) = (block for block in found if isinstance(block, Text))
    assert "f00003-seed1 said of each test image is not stored" in note.text


def test_a_run_without_a_bottleneck_has_no_information_to_show(told: Any, tmp_path: Path) -> None:
    for record in told.state.trials.values():
        for row in record.history:
            del row["val_kl_nats"]
    assert "information" not in by_id(blocks(told, tmp_path))
