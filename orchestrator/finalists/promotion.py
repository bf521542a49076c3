"""Promotes the winner: exports the best finalist, lets the gate decide, and registers the model under `champion`."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.errors import PreflightError
from orchestrator.finalists.candidate import CANDIDATE_TAG, ForeignChampionError, export_candidate, present_champion
from orchestrator.registry.gate import Candidate, GateDecision, GateRules, decide, refuse
from orchestrator.registry.publish import publish
from orchestrator.registry.versions import CHAMPION, answering
from orchestrator.study.journal import TrialRecord
from orchestrator.study.study import Study
from orchestrator.tracking.recorder import Recorder
from trainables.config.trial import TrialConfig
from trainables.data.arrow_store import open_store
from trainables.data.crop import centre_crop
from trainables.errors import AIBError

RUN_ID_WAIT_S = 300.0


def promote_winner(
    study: Study,
    recorder: Recorder,
    seeds: list[TrialRecord],
    uri: str,
    measure: Callable[[Path], float],
    *,
    again: bool = False,
) -> bool:
    """Judges the best configuration's completed seeds and registers its best model; returns whether it was promoted.

    A decision in the journal stands, unless `again` asks for a new one. `measure` returns the validation error (%) of
    an exported folder, loaded again.
    """
    state = recorder.journal.state
    if not again and state.gate is not None and (state.registered is not None or not state.gate["promote"]):
        return bool(state.gate["promote"])
    if not seeds:
        text = "no finalist ran to its end: no full-length trial met every constraint, or all retrainings failed"
        recorder.journal.append("gate", decision=refuse("finalists", text).to_dict())
        return False
    folder, candidate = export_candidate(study, seeds, measure)
    champion = None
    try:
        with _to_be_finished(uri):
            champion = present_champion(uri, study.spec.registered_model)
    except ForeignChampionError as foreign:
        decision = refuse("champion", str(foreign))
    else:
        decision = decide(candidate, champion, _rules(study))
    compared = {"challenger": candidate.to_dict(), "champion": champion.to_dict() if champion else None}
    recorder.journal.append("gate", decision={**decision.to_dict(), **compared})
    if decision.promote:
        _register(study, recorder, seeds[0], folder, candidate, decision, uri)
    return decision.promote


def _rules(study: Study) -> GateRules:
    gate = study.spec.gate
    return GateRules(
        error_margin_pct=gate.error_margin_pct,
        interpretability_margin_pct=gate.interpretability_margin_pct,
        min_attention_std=gate.min_attention_std,
        max_chance=gate.max_chance,
    )


def _register(
    study: Study,
    recorder: Recorder,
    best: TrialRecord,
    folder: Path,
    candidate: Candidate,
    decision: GateDecision,
    uri: str,
) -> None:
    run_id = recorder.tracker.run_id(best.trial, RUN_ID_WAIT_S)
    if run_id is None:
        raise AIBError(
            f"the tracking store has not taken the finalist {best.trial} yet, so its model cannot be linked; once the "
            f"store answers, finish with --resume."
        )
    facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    example = _example(study, facts)
    with _to_be_finished(uri):
        version = publish(
            uri,
            run_id,
            folder,
            study.spec.registered_model,
            _tags(facts, candidate, decision),
            CHAMPION,
            example,
        )
    recorder.journal.append(
        "registered",
        version={
            "name": version.name,
            "version": version.version,
            "alias": version.alias,
            "trial": best.trial,
            "run_id": run_id,
        },
    )


@contextmanager
def _to_be_finished(uri: str) -> Iterator[None]:
    """Turns a failure of the registry, hours after the start, into an error that says how to finish the search."""
    try:
        with answering(uri):
            yield
    except PreflightError as error:
        raise AIBError(
            f"{error} The search itself is done and kept: once the registry answers, judge and register its winner "
            "with the same command and --resume."
        ) from error


def _tags(facts: dict[str, Any], candidate: Candidate, decision: GateDecision) -> dict[str, str]:
    """Returns a version's tags: signature, parameters, metrics, data, commit, package versions, the gate's decision."""
    shown = ("final_val_error_pct", "final_test_error_pct", "interp_centered_pct", "interpretability_pct")
    return {
        "aib.study": facts["study"],
        "aib.trial": facts["trial_id"],
        "aib.signature": facts["signature"],
        "aib.data": facts["data"]["name"],
        "aib.data_digest": facts["data"]["digest"],
        **{f"aib.metric.{name}": f"{facts['metrics'][name]:.6g}" for name in shown if name in facts["metrics"]},
        **{f"aib.version.{name}": value for name, value in facts["provenance"].items()},
        "aib.params": json.dumps(facts["trial"]),
        "aib.gate": json.dumps(decision.to_dict()),
        CANDIDATE_TAG: json.dumps(candidate.to_dict()),
    }


def _example(study: Study, facts: dict[str, Any]) -> np.ndarray:
    store = open_store(study.paths.data, facts["data"]["name"], facts["data"]["image_size"])
    side = TrialConfig.from_dict(facts["trial"]).data.image_size
    return np.array(centre_crop(store.splits["test"].images_NHWC[:1], side))
