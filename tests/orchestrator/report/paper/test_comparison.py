from typing import Any

import pytest

from orchestrator.report.page.document import Listing, Table, Text
from orchestrator.report.paper.comparison import error_blocks, interpretability_blocks
from orchestrator.report.paper.recipe_differences import differences_from_paper
from orchestrator.report.runs import choose_run
from trainables.config.trial import TrialConfig


def subject(study: Any) -> Any:
    found = choose_run(study.view())
    assert found is not None
    return found


def text_of(blocks: tuple[Any, ...]) -> str:
    return " ".join(block.text for block in blocks if isinstance(block, Text))


def table_of(blocks: tuple[Any, ...]) -> Table:
    (table,) = (block for block in blocks if isinstance(block, Table))
    return table


def on_cifar10(new_study: Any, **trial: Any) -> Any:
    study = new_study(trial={"model": "vgg-aib-qt", "dataset": "cifar10", **trial}, scheduler="none")
    study.trial("t00000", 5.0, params={})
    return study


def test_our_error_stands_beside_table_1_with_the_difference_and_cells_not_run_say_so(new_study: Any) -> None:
    rows = {row.cells[0]: row.cells[1:] for row in table_of(error_blocks(subject(on_cifar10(new_study)))).rows}
    assert rows["cifar10, weights of the best validation epoch"] == ("6.50", "4.10", "+2.40")
    assert rows["cifar10, lowest over epochs (paper's convention)"] == ("6.00", "4.10", "+1.90")
    assert rows["STL10 test split, labels compared by number"] == ("not run", "51.16", "–")
    assert rows["STL10 test split, classes compared by name"] == ("not run", "–", "–")


def test_table_1_is_set_beside_the_stl10_error_by_number_with_the_reason(new_study: Any) -> None:
    study = on_cifar10(new_study)
    for record in study.state.trials.values():
        for row in record.history:
            row |= {"stl10_train_index_error_pct": 52.44, "stl10_train_error_pct": 33.25}
    blocks = error_blocks(subject(study))
    rows = {row.cells[0]: row.cells[1:] for row in table_of(blocks).rows}
    assert rows["STL10 train split, labels compared by number"] == ("52.44", "50.44", "+2.00")
    assert rows["STL10 train split, classes compared by name"] == ("33.25", "–", "–")
    assert "comparison of bare label numbers" in text_of(blocks)


def test_a_model_of_another_data_set_has_no_stl10_rows(new_study: Any) -> None:
    study = new_study(trial={"model": "vgg-aib-qt", "dataset": "cifar100"}, scheduler="none")
    study.trial("t00000", 5.0, params={})
    blocks = error_blocks(subject(study))
    assert not any("STL10" in row.cells[0] for row in table_of(blocks).rows)
    assert "STL-10" not in text_of(blocks)


def test_a_trial_as_in_the_paper_has_nothing_to_declare_but_its_validation_split(new_study: Any) -> None:
    blocks = error_blocks(subject(on_cifar10(new_study)))
    assert not any(isinstance(block, Listing) for block in blocks)
    assert "full size and length" in text_of(blocks)
    assert "a tenth of them are held out to select epoch and trial" in text_of(blocks)


def test_what_was_reduced_or_changed_is_listed_field_by_field(new_study: Any) -> None:
    study = on_cifar10(
        new_study, **{"model.width": 0.125, "epochs": 6, "data.train_images": 4000, "data.val_images": 500}
    )
    (listing,) = (block for block in error_blocks(subject(study)) if isinstance(block, Listing))
    assert set(listing.items) == {
        "model.width is 0.125; in the paper's recipe 1.",
        "epochs is 6; in the paper's recipe 200.",
        "data.train_images is 4000; in the paper's recipe all.",
        "data.val_images is 500; in the paper's recipe a tenth.",
    }


def test_fields_that_change_no_result_are_no_departure() -> None:
    same = TrialConfig.from_dict({"seed": 3, "numerics.num_threads": 4, "evaluation.interp_every_epochs": 2})
    assert differences_from_paper(same) == ()
    released = differences_from_paper(TrialConfig.from_dict({"recipe": "released"}))
    assert "bottleneck.kl is released; in the paper's recipe exact." in released


def test_data_that_the_paper_does_not_have_is_called_not_comparable(finished: Any) -> None:
    found = subject(finished)
    assert "Nothing here is comparable with the paper" in text_of(error_blocks(found))
    assert "reports no interpretability of vgg-aib-qt on cluttered-digits" in text_of(interpretability_blocks(found))
    assert {row.cells[2] for row in table_of(interpretability_blocks(found)).rows} == {"–"}


def test_the_ten_scores_stand_beside_table_2_with_their_chance_on_test_images(new_study: Any) -> None:
    study = on_cifar10(new_study)
    found = subject(study)
    table = table_of(interpretability_blocks(found))
    assert len(table.rows) == 12
    first = dict(zip(table.columns, table.rows[0].cells, strict=True))
    assert first["modification"] == "colour window, p = 4"
    assert first["min-max maps"] == f"{found.mean['test_interp_color_p4_pct']:.1f}"
    assert first["paper"] == "99.26"
    assert float(first["difference"]) == pytest.approx(found.mean["test_interp_color_p4_pct"] - 99.26)
    assert first["mean-centred maps"] == f"{found.mean['test_interp_color_p4_centered_pct']:.1f}"
    mean, chance = table.rows[-2].cells, table.rows[-1].cells
    assert mean[2] == "85.53"
    assert chance[1] == f"{found.mean['test_interp_chance_pct']:.1f}"
    assert chance[4] == f"{found.mean['test_interp_centered_chance_pct']:.1f}"


def test_a_run_without_scores_says_so(finished: Any) -> None:
    for record in finished.state.trials.values():
        for row in record.history:
            row.pop("test_interpretability_pct", None)
    (text,) = interpretability_blocks(subject(finished))
    assert isinstance(text, Text)
    assert "not been scored" in text.text


def test_a_model_without_maps_has_no_scores_to_show_and_no_unused_field_to_declare(new_study: Any) -> None:
    study = new_study(
        trial={"model": "vgg", "dataset": "cifar10", "bottleneck.kl_scale": 3.0}, scheduler="none", constraints=[]
    )
    study.trial("t00000", 5.0, params={})
    found = subject(study)
    assert (
        text_of(interpretability_blocks(found)) == "vgg has no spatial map, so there is no interpretability to score."
    )
    assert differences_from_paper(found.config) == ()
    rows = {row.cells[0]: row.cells[1:] for row in table_of(error_blocks(found)).rows}
    assert rows["cifar10, weights of the best validation epoch"][1] == "7.77"
