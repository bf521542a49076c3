import pytest

from trainables.metrics import MODIFICATIONS
from trainables.paper.published import published_error_pct, published_interpretability_pct


@pytest.mark.parametrize(
    ("model", "dataset", "error_pct"),
    [
        ("vgg", "cifar10", 7.77),
        ("vgg-att2", "cifar10", 5.23),
        ("vgg-aib", "cifar10", 4.28),
        ("vgg-aib-qt", "cifar10", 4.10),
        ("vgg-aib-qt", "cub200", 21.83),
        ("wrn-aib", "svhn", 2.76),
        ("wrn-aib-qt", "cifar100", 17.64),
        ("wrn-aib-qt", "stl10-train", 50.34),
        ("wrn-aib-qt", "stl10-test", 50.49),
        ("wrn", "svhn", None),
        ("wrn-abn", "cub200", None),
        ("vgg-aib", "cluttered-digits", None),
        ("resnet", "cifar10", None),
    ],
)
def test_errors_are_those_of_table_1(model: str, dataset: str, error_pct: float | None) -> None:
    assert published_error_pct(model, dataset) == error_pct


def test_scores_are_those_of_table_2_under_our_names() -> None:
    scores = published_interpretability_pct("vgg-aib-qt", "cifar10")
    assert set(scores) == set(MODIFICATIONS)
    assert (scores["interp_color_p16"], scores["interp_svhn_p4"]) == (18.36, 98.65)
    assert (scores["interp_high_r4"], scores["interp_low_r12"]) == (99.96, 73.52)


@pytest.mark.parametrize(("model", "dataset"), [("vgg-aib", "svhn"), ("vgg", "cifar10")])
def test_what_the_paper_does_not_score_is_empty(model: str, dataset: str) -> None:
    assert dict(published_interpretability_pct(model, dataset)) == {}
