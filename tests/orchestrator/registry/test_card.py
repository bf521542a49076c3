import re

import pytest

from orchestrator.registry.card import model_card
from tests.orchestrator.registry.conftest import METRICS, tiny_config

FACTS = {
    "study": "tiny",
    "trial_id": "f1-seed1",
    "signature": "0123456789abcdef",
    "seeds": {name: {"mean": value, "std": 0.5, "n": 2} for name, value in METRICS.items()},
}


def test_the_card_shows_figures_with_their_spread() -> None:
    card = model_card("tiny-model", tiny_config(), METRICS, FACTS)
    assert "| test error | 22.25 | 22.25 | 0.50 | 2 |" in card
    assert "aib predict tiny-model@champion" in card
    assert "0123456789abcdef" in card


@pytest.mark.parametrize(("dataset", "row"), [("cifar10", "4.10"), ("cluttered-digits", None)])
def test_the_papers_row_stands_beside_ours_only_where_there_is_one(dataset: str, row: str | None) -> None:
    card = model_card("tiny-model", tiny_config().override({"data.name": dataset}), METRICS, FACTS)
    found = re.search(r"Table 1 gives ([\d.]+) %", card)
    assert (found.group(1) if found else None) == row
