"""The best finalist before the gate: exported, measured again from its files, judged, and registered or refused."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.errors import PreflightError
from orchestrator.finalists.reload_check import reload_error_pct
from orchestrator.planning.signature import trial_signature
from orchestrator.process.code_version import provenance
from orchestrator.registry.card import model_card
from orchestrator.registry.gate import Candidate, GateDecision, GateRules, decide, refuse
from orchestrator.registry.publish import publish
from orchestrator.registry.versions import CHAMPION, UnknownModelError, answering, find_version
from orchestrator.status.summary import mean, sample_std
from orchestrator.study.journal import TrialRecord
from orchestrator.study.study import Study
from orchestrator.tracking.recorder import Recorder
from trainables.checkpoints.checkpoint import read_state, read_tensors
from trainables.config.trial import TrialConfig
from trainables.data.crop import centre_crop
from trainables.data.store import open_store
from trainables.errors import AIBError, CheckpointError
from trainables.export import export_model

CANDIDATE_TAG = "aib.candidate"
RUN_ID_WAIT_S = 300.0


def crown(study: Study, recorder: Recorder, seeds: list[TrialRecord], uri: str, *, again: bool = False) -> bool:
    """Judges the best configuration's completed seeds and registers the best of their models; whether it was promoted.

    A decision that is in the journal stands, unless it is to be taken `again`.
    """
    state = recorder.journal.state
    if not again and state.gate is not None and (state.registered is not None or not state.gate["promote"]):
        return bool(state.gate["promote"])
    if not seeds:
        text = "no finalist ran to its end: no full-length trial met every constraint, or all retrainings failed"
        recorder.journal.append("gate", decision=refuse("finalists", text).to_dict())
        return False
    folder, candidate = _export(study, seeds)
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


def _export(study: Study, seeds: list[TrialRecord]) -> tuple[Path, Candidate]:
    best, outcomes = seeds[0], [record.outcome for record in seeds]
    with study.storage.of(best.trial).newest() as checkpoint:
        if checkpoint is None:
            raise CheckpointError(
                f"the finalist {best.trial} has no complete checkpoint in {study.storage.place}; restore it, or remove "
                f"the study and search again."
            )
        return _export_checkpoint(study, best, outcomes, checkpoint)


def _export_checkpoint(
    study: Study, best: TrialRecord, outcomes: list[dict[str, float]], checkpoint: Path
) -> tuple[Path, Candidate]:
    stored = read_state(checkpoint)
    config = TrialConfig.from_dict(stored["config"])
    # A seed may lack what another has: STL-10 can be prepared between two of them.
    spread = {name: [outcome[name] for outcome in outcomes if name in outcome] for name in outcomes[0]}
    facts = {
        "study": study.spec.name,
        "trial_id": best.trial,
        "signature": trial_signature(config),
        "spec_signature": study.signature,
        "data": {name: stored["data"][name] for name in ("name", "image_size", "digest")},
        "seeds": {
            name: {"mean": mean(values), "std": sample_std(values), "n": len(values)} for name, values in spread.items()
        },
        "fingerprint": stored["fingerprint"],
        "provenance": provenance(),
    }
    folder = export_model(
        study.paths.folder / "export",
        read_tensors(checkpoint, "best"),
        config,
        stored["data"]["class_names"],
        best.outcome,
        facts,
        model_card(study.spec.registered_model, config, best.outcome, facts),
    )
    errors = spread["final_val_error_pct"]
    candidate = Candidate(
        name=f"{study.spec.name}/{best.trial}",
        val_error_pct=mean(errors),
        val_error_std_pct=sample_std(errors),
        num_seeds=len(errors),
        interp_centered_pct=_mean_of(spread, "interp_centered_pct"),
        interp_centered_chance_pct=_mean_of(spread, "interp_centered_chance_pct"),
        attention_std=best.outcome.get("final_val_attention_std"),
        data_digest=_validation_digest(stored["data"]["digest"], config),
        recorded_error_pct=best.outcome["final_val_error_pct"],
        reloaded_error_pct=reload_error_pct(folder, study.paths.data, study.spec.resources),
    )
    return folder, candidate


def _mean_of(spread: dict[str, list[float]], metric: str) -> float | None:
    """None for a score that the model, having no maps, does not report."""
    return mean(spread[metric]) if metric in spread else None


def _validation_digest(digest: str, config: TrialConfig) -> str:
    """Of the images that validate: errors on another split of the same data do not compare."""
    chosen = json.dumps([digest, config.data.split_seed, config.data.val_images])
    return hashlib.sha256(chosen.encode()).hexdigest()


class ForeignChampionError(AIBError):
    """The champion has no figures that a challenger could be compared with."""


def present_champion(uri: str, name: str) -> Candidate | None:
    """None where the name has no champion yet; ForeignChampionError where no search of ours made it."""
    try:
        version = find_version(uri, f"{name}@{CHAMPION}")
    except UnknownModelError:
        return None
    try:
        return Candidate(**json.loads(version.tags[CANDIDATE_TAG]))
    except (KeyError, ValueError, TypeError):
        raise ForeignChampionError(
            f"the champion, version {version.version}, has no figures to compare with (its tag {CANDIDATE_TAG} is "
            f"missing or is another program's); take the alias {CHAMPION} from it and judge again with `aib promote`, "
            "or register under another name"
        ) from None


def _rules(study: Study) -> GateRules:
    gate = study.spec.gate
    return GateRules(
        error_margin_pct=gate.error_margin_pct,
        interpretability_margin_pct=gate.interpretability_margin_pct,
        min_attention_std=gate.min_attention_std,
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
    """The registry's failures, hours after the start, as an error that says what to do with the finished search."""
    try:
        with answering(uri):
            yield
    except PreflightError as error:
        raise AIBError(
            f"{error} The search itself is done and kept: once the registry answers, judge and register its winner "
            "with the same command and --resume."
        ) from error


def _tags(facts: dict[str, Any], candidate: Candidate, decision: GateDecision) -> dict[str, str]:
    """What a version says of itself: signature, parameters, metrics, data, commit, package versions, the decision."""
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
