from pathlib import Path
from typing import Any

from orchestrator.report.page.document import Block, Picture, Table, Text
from orchestrator.report.runs import choose_run
from orchestrator.report.sections.best_run import run_blocks
from orchestrator.report.source import StudySource
from tests.support.kept_answers import keep_answers


def blocks(study: Any, trials: Path) -> tuple[Block, ...]:
    view = study.view()
    return run_blocks(StudySource(view, trials), choose_run(view))


def by_id(found: tuple[Block, ...]) -> dict[str, Any]:
    return {block.id: block for block in found if isinstance(block, (Picture, Table))}


def test_a_run_is_shown_with_what_its_checkpoint_keeps(finished: Any, tmp_path: Path) -> None:
    keep_answers(tmp_path / "f00003-seed1")
    found = by_id(blocks(finished, tmp_path))
    assert list(found) == [
        "curves-figure", "information", "thresholds", "localization", "scores-histogram", "confusion", "worst",
    ]  # fmt: skip
    assert found["scores-histogram"].alt.endswith("4 of 5 anchors are used, anchors lie from 0.000 to 1.000.")
    assert found["confusion"].alt.startswith(
        "3 of 40 test images are wrong. Most often: two classified as <zero> 2 times"
    )
    assert "<zero> classified as one at 90%" in found["worst"].alt
    rows = [row.cells for row in found["localization"].rows]
    assert [cells[0] for cells in rows] == ["as they are", "stretched to [0, 1]"]


def test_without_a_checkpoint_the_curves_stand_alone_and_the_page_says_why(finished: Any, tmp_path: Path) -> None:
    found = blocks(finished, tmp_path)
    assert list(by_id(found)) == ["curves-figure", "information", "thresholds", "localization"]
    (note,) = (block for block in found if isinstance(block, Text))
    assert "The predictions of f00003-seed1 for each test image are not stored" in note.text


def test_a_run_without_a_bottleneck_has_no_information_to_show(finished: Any, tmp_path: Path) -> None:
    for record in finished.state.trials.values():
        for row in record.history:
            del row["val_kl_nats"]
    assert "information" not in by_id(blocks(finished, tmp_path))
