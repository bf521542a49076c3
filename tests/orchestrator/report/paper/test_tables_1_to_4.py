from pathlib import Path
from typing import Any

import pytest

from orchestrator.report.page.document import Table, Text
from orchestrator.report.paper.tables_1_to_4 import paper_table_blocks
from orchestrator.report.runs import choose_runs, largest_budget, with_checkpoints
from orchestrator.report.source import StudySource
from tests.support.kept_answers import keep_answers


@pytest.fixture
def two_models(new_study: Any) -> Any:
    """An AIB model of two seeds and a VGG of one, on CIFAR-10 at an eighth of the width."""
    study = new_study(
        trial={"dataset": "cifar10", "epochs": 6, "model.width": 0.125},
        space={"model.name": {"choice": ["vgg-aib", "vgg"]}},
        constraints=[],
    )
    study.trial("t00000", 20.0, params={"model.name": "vgg-aib"}, stl10_train_index_error_pct=60.0)
    study.trial("t00001", 30.0, params={"model.name": "vgg"})
    for seed in (1, 2):
        study.trial(
            f"f00000-seed{seed}",
            20.0 + seed,
            kind="finalist",
            of="t00000",
            seed=seed,
            params={"model.name": "vgg-aib"},
            stl10_train_index_error_pct=60.0,
            inference_ms_per_image=4.5,
        )
    return study


def tables(study: Any, trials: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Table id -> heading of the row -> column -> cell."""
    source = StudySource(study.view(), trials)
    subjects = choose_runs(source.view)
    blocks = paper_table_blocks([(source.name, one) for one in subjects], with_checkpoints(source, subjects))
    return {
        block.id: {row.cells[0]: dict(zip(block.columns, row.cells, strict=True)) for row in block.rows}
        for block in blocks
        if isinstance(block, Table)
    }


def test_table_1_has_ours_the_published_value_and_the_difference(two_models: Any, tmp_path: Path) -> None:
    rows = tables(two_models, tmp_path)["table-1"]
    assert len(rows) == 12
    assert rows["vgg-aib"]["cifar10"] == "23.00 ± 0.71 (2)\npaper 4.28\n+18.72"
    assert rows["vgg"]["cifar10"] == "31.50 (1)\npaper 7.77\n+23.73"
    assert rows["vgg-aib"]["stl10-train"] == "60.00 ± 0.00 (2)\npaper 50.64\n+9.36"
    assert rows["vgg-aib-qt"]["cifar10"] == "not run\npaper 4.10"
    assert rows["wrn"]["svhn"] == "not run\nnot published"


def test_table_2_has_a_row_for_what_is_published_or_run(two_models: Any, tmp_path: Path) -> None:
    rows = tables(two_models, tmp_path)["table-2"]
    assert rows["vgg-aib, cifar10"]["colour window, p = 4"].splitlines()[1] == "paper 99.22"
    assert rows["vgg-aib, cifar100"]["low frequencies, r < 12"] == "not run\npaper 79.13"
    assert "vgg-dvib, cifar10" not in rows


def test_tables_3_and_4_count_the_papers_network_and_name_the_hardware(two_models: Any, tmp_path: Path) -> None:
    keep_answers(tmp_path / "f00000-seed1")
    found = tables(two_models, tmp_path)
    row = found["table-3"]["vgg-aib, 32 x 32, 10 classes"]
    assert (row["at the paper's size"], row["paper"], row["difference"]) == ("20.05", "20.05", "+0.00")
    assert row["trained here"].endswith("(width 0.125)")
    assert found["table-3"]["wrn-aib, 32 x 32, 10 classes"]["trained here"] == "not run"
    cost = found["table-4"]["vgg-aib, 32 x 32, 10 classes"]
    assert (cost["MACs"], cost["difference"]) == ("3.79", "+0.00")
    assert (cost["ms per image"], cost["paper's ms"]) == ("4.50 (width 0.125)", "3.43")
    assert cost["measured on"] == "a known processor"


def test_coverage_says_how_much_was_run_and_at_which_budget(two_models: Any, tmp_path: Path) -> None:
    source = StudySource(two_models.view(), tmp_path)
    subjects = [(source.name, one) for one in choose_runs(source.view)]
    said = next(block for block in paper_table_blocks(subjects, []) if isinstance(block, Text))
    assert "2 have been run here, 0 of them at the paper's full size" in said.text
    assert said.role == "warning"
    row = tables(two_models, tmp_path)["coverage"]["vgg-aib, cifar10"]
    assert (row["seeds"], row["epochs"], row["training images"], row["width"]) == ("2", "6", "all", "0.125")
    assert "epochs is 6; in the paper's recipe 200." in row["differences"]


def test_the_run_of_the_largest_budget_stands_for_a_model(two_models: Any, new_study: Any) -> None:
    longer = new_study(name="longer", trial={"model": "vgg", "dataset": "cifar10", "epochs": 7, "model.width": 0.125})
    longer.spec = longer.spec.model_copy(update={"constraints": ()})
    longer.trial("t00000", 80.0, epochs=7, params={})
    both = [(study.spec.name, one) for study in (two_models, longer) for one in choose_runs(study.view())]
    chosen = largest_budget(both)
    assert {key: name for key, (name, _) in chosen.items()} == {
        ("vgg-aib", "cifar10"): "demo",
        ("vgg", "cifar10"): "longer",
    }


def test_without_a_finished_trial_every_cell_is_said_to_be_not_run(new_study: Any) -> None:
    (text,) = paper_table_blocks([], [])
    assert isinstance(text, Text)
    assert "not run" in text.text
