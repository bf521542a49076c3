"""Which configurations are retrained, and which retrained model can be registered."""

from typing import Any

from orchestrator.finalists.selection import best_finalist, plan_finalists
from orchestrator.study.journal import TrialRecord
from search_spaces.schema import SearchSpec

SPEC = SearchSpec.from_dict(
    {
        "name": "s",
        "trial": {"model": "vgg-aib", "seed": 7},
        "space": {"bottleneck.beta": {"choice": [0.1, 0.01, 0.001]}},
        "trials": 10,
        "constraints": [{"metric": "val_attention_std", "at_least": 0.02}],
        "finalists": {"top": 2, "seeds": 2},
    }
)


def record(name: str, error: float, beta: float = 0.1, std: float = 0.1, **fields: Any) -> TrialRecord:
    row = {"epoch": 1.0, "val_error_pct": error, "val_nll": 1.0, "val_attention_std": std}
    known = {"kind": "search", "seed": 7, "state": "completed", **fields}
    return TrialRecord(trial=name, params={"bottleneck.beta": beta}, history=[row], **known)


def names(records: list[TrialRecord]) -> list[str]:
    return [one.trial for one in records]


def test_the_best_different_configurations_are_retrained_with_new_seeds() -> None:
    searched = [record("t00000", 5), record("t00001", 4), record("t00002", 6, 0.01), record("t00003", 9, 0.001)]
    planned = plan_finalists(SPEC, searched)
    assert [(one.trial, one.of, one.config.seed, one.config.bottleneck.beta) for one in planned] == [
        ("f00001-seed8", "t00001", 8, 0.1),
        ("f00001-seed9", "t00001", 9, 0.1),
        ("f00002-seed8", "t00002", 8, 0.01),
        ("f00002-seed9", "t00002", 9, 0.01),
    ]


def finalist(name: str, of: str, error: float, **fields: Any) -> TrialRecord:
    return record(name, error, kind="finalist", of=of, **fields)


def test_the_mean_over_seeds_decides_and_the_best_seed_is_registered() -> None:
    found = best_finalist(
        SPEC, [finalist("a1", "a", 1), finalist("a2", "a", 9), finalist("b1", "b", 5), finalist("b2", "b", 4)]
    )
    assert names(found) == ["b2", "b1"]


def test_a_seed_with_a_dead_map_counts_in_the_mean_but_is_not_registered() -> None:
    found = best_finalist(SPEC, [finalist("a1", "a", 1, std=0.001), finalist("a2", "a", 5), finalist("b1", "b", 4)])
    assert names(found) == ["a2", "a1"]


def test_a_configuration_without_a_fit_seed_is_passed_over() -> None:
    found = best_finalist(SPEC, [finalist("a1", "a", 1, std=0.001), finalist("b1", "b", 4)])
    assert names(found) == ["b1"]
    assert best_finalist(SPEC, [finalist("a1", "a", 1, std=0.001), finalist("c1", "c", 1, state="failed")]) == []
