from typing import Any

from orchestrator.registry.gate import Candidate, GateRules, decide
from orchestrator.report.page.document import Facts, Table, Text
from orchestrator.report.sections.registry_outcome import registry_blocks


def candidate(name: str, **changed: Any) -> Candidate:
    fields = {
        "name": name,
        "val_error_pct": 20.0,
        "val_error_std_pct": 0.5,
        "num_seeds": 3,
        "interp_centered_pct": 60.0,
        "interp_centered_chance_pct": 3.0,
        "attention_std": 0.1,
        "data_digest": "d",
        "recorded_error_pct": 19.0,
        "reloaded_error_pct": 19.0,
    }
    return Candidate(**{**fields, **changed})


def test_champion_and_challenger_stand_side_by_side_with_the_gates_reasons(finished: Any) -> None:
    new, old = candidate("demo/f1", val_error_pct=30.0), candidate("other/f9", interp_centered_pct=None)
    decision = decide(new, old, GateRules())
    finished.event("gate", decision={**decision.to_dict(), "challenger": new.to_dict(), "champion": old.to_dict()})
    gate, champion = (block for block in registry_blocks(finished.view()) if isinstance(block, Table))
    assert gate.caption == "The gate refused the best finalist."
    assert {row.cells[:2] for row in gate.rows} >= {("error", "failed"), ("alive", "passed")}
    rows = {row.cells[0]: row.cells[1:] for row in champion.rows}
    assert rows["validation error (%)"] == ("30.00 ± 0.50", "20.00 ± 0.50", "+10.00")
    assert rows["interpretability, centred (%)"] == ("60.0", "–", "–")
    assert rows["seeds"] == ("3", "3", "–")
    assert "on the same validation images" in champion.caption


def test_candidates_of_other_validation_images_are_said_to_differ(finished: Any) -> None:
    new, old = (
        candidate("demo/f1", split_seed=1, asked_val_images=60),
        candidate("other/f9", split_seed=2, asked_val_images=60),
    )
    finished.event(
        "gate",
        decision={**decide(new, old, GateRules()).to_dict(), "challenger": new.to_dict(), "champion": old.to_dict()},
    )
    captions = [block.caption for block in registry_blocks(finished.view()) if isinstance(block, Table)]
    assert "on different validation images" in captions[1]


def test_lineage_leads_from_the_version_to_the_data(finished: Any) -> None:
    version = {"name": "aib-demo", "version": "4", "alias": "champion", "trial": "f00003-seed1", "run_id": "r17"}
    finished.event("registered", version=version)
    finished.event("mlflow", record={"tracking_uri": "sqlite:///m.db", "experiment_id": "1", "run_id": "parent"})
    (facts,) = (block for block in registry_blocks(finished.view()) if isinstance(block, Facts))
    found = dict(facts.rows)
    assert found["Version"] == "aib-demo version 4, alias champion"
    assert (found["Trial"], found["MLflow run"], found["MLflow parent run"]) == ("f00003-seed1", "r17", "parent")
    assert found["Data digest"].startswith("ab12")


def test_a_decision_without_its_candidates_shows_its_reasons(finished: Any) -> None:
    """Older journals hold the decision without the two candidates."""
    finished.event("gate", decision=decide(candidate("a"), None, GateRules()).to_dict())
    blocks = registry_blocks(finished.view())
    assert [block.id for block in blocks if isinstance(block, Table)] == ["gate"]
    assert not any("no champion" in block.text for block in blocks if isinstance(block, Text))
