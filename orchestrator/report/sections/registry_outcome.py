"""Section "Registry": the gate's decision and reasons, champion against challenger, lineage of the version."""

from collections.abc import Mapping
from typing import Any

from orchestrator.registry.gate import Candidate
from orchestrator.report.page.document import MISSING, Block, Facts, Row, Table, Text, number, signed, spread
from orchestrator.study.study import StudyView

_COMPARED = (
    ("validation error (%)", "val_error_pct", 2),
    ("interpretability, centred (%)", "interp_centered_pct", 1),
    ("its chance level (%)", "interp_centered_chance_pct", 1),
    ("standard deviation of the map", "attention_std", 4),
    ("recorded error (%)", "recorded_error_pct", 4),
    ("error of the reloaded model (%)", "reloaded_error_pct", 4),
)


def registry_blocks(view: StudyView) -> tuple[Block, ...]:
    """The gate's decision as the journal records it, or a note if there is none yet."""
    gate = view.state.gate
    if gate is None:
        return (
            Text("The gate has not decided yet: no finalist has been compared with the champion.", "note"),
            *_lineage(view),
        )
    outcome = "made the best finalist champion" if gate["promote"] else "refused the best finalist"
    rows = (Row((r["rule"], "passed" if r["passed"] else "failed", r["text"])) for r in gate["reasons"])
    return (
        Table(
            "gate",
            f"The gate {outcome}.",
            ("rule", "outcome", "reason"),
            tuple(rows),
            frozenset({"outcome"}),
            frozenset({"reason"}),
        ),
        *_comparison(gate),
        *_lineage(view),
    )


def _comparison(gate: Mapping[str, Any]) -> tuple[Block, ...]:
    challenger, champion = gate.get("challenger"), gate.get("champion")
    if challenger is None:
        return ()
    if champion is None:
        return (Text(f"There was no champion to compare {challenger['name']} with."),)
    rows = []
    for label, field, digits in _COMPARED:
        new, old = challenger.get(field), champion.get(field)
        difference = MISSING if new is None or old is None else signed(new - old, digits)
        rows.append(Row((label, _value(challenger, field, digits), _value(champion, field, digits), difference)))
    rows.append(Row(("seeds", str(challenger.get("num_seeds")), str(champion.get("num_seeds")), MISSING)))
    same = "the same" if _images(challenger) == _images(champion) else "different"
    return (
        Table(
            "champion",
            f"Challenger {challenger['name']} against champion {champion['name']}, on {same} validation images; mean ± "
            "standard deviation over seeds.",
            ("quantity", "challenger", "champion", "difference"),
            tuple(rows),
        ),
    )


def _images(candidate: Mapping[str, Any]) -> str:
    try:
        return Candidate(**candidate).images_digest
    except TypeError:
        # Another version recorded other fields.
        return ""


def _value(candidate: Mapping[str, Any], field: str, digits: int) -> str:
    if field == "val_error_pct":
        return spread(candidate.get(field), candidate.get("val_error_std_pct"), digits)
    return number(candidate.get(field), digits)


def _lineage(view: StudyView) -> tuple[Block, ...]:
    """The chain from the registered version back to the training data."""
    version, facts, record = view.state.registered, view.facts, view.state.mlflow or {}
    provenance, data = facts.get("provenance") or {}, facts.get("data")
    rows = [
        ("Version", f"{version['name']} version {version['version']}, alias {version['alias']}" if version else "none"),
        ("Trial", version["trial"] if version and "trial" in version else "none"),
        ("MLflow run", (version or {}).get("run_id") or "not recorded"),
        ("MLflow parent run", record.get("run_id") or "not recorded"),
        ("MLflow experiment", f"{record['experiment_id']} in {record['tracking_uri']}" if record else "not recorded"),
        ("Spec signature", facts["signature"]),
        ("Data digest", f"{data['digest']} ({data['name']})" if data else "not recorded"),
        ("Git commit", provenance.get("git_commit", "not recorded")),
    ]
    packages = ", ".join(f"{name} {value}" for name, value in provenance.items() if name != "git_commit")
    return (
        Text("Lineage, from the version to the data:"),
        Facts((*rows, ("Package versions", packages or "not recorded"))),
    )
