"""The two sides of the gate: the best finalist, exported and measured again, and the present champion."""

import json
from collections.abc import Callable
from pathlib import Path

from orchestrator.planning.signature import trial_signature
from orchestrator.process.code_version import provenance
from orchestrator.registry.card import model_card
from orchestrator.registry.gate import Candidate
from orchestrator.registry.versions import CHAMPION, UnknownModelError, find_version
from orchestrator.study.journal import TrialRecord
from orchestrator.study.seed_statistics import mean, sample_std
from orchestrator.study.study import Study
from trainables.checkpoints.checkpoint import read_state, read_tensors
from trainables.config.trial import TrialConfig
from trainables.errors import AIBError, CheckpointError
from trainables.evaluation.constant_answer import best_constant_answer
from trainables.export import export_model

CANDIDATE_TAG = "aib.candidate"


def export_candidate(
    study: Study, seeds: list[TrialRecord], measure: Callable[[Path], float]
) -> tuple[Path, Candidate]:
    best, outcomes = seeds[0], [record.outcome for record in seeds]
    with study.storage.of(best.trial).newest() as checkpoint:
        if checkpoint is None:
            raise CheckpointError(
                f"the finalist {best.trial} has no complete checkpoint in {study.storage.place}; restore it, or remove "
                f"the study and search again."
            )
        return _export_checkpoint(study, best, outcomes, checkpoint, measure)


def _export_checkpoint(
    study: Study,
    best: TrialRecord,
    outcomes: list[dict[str, float]],
    checkpoint: Path,
    measure: Callable[[Path], float],
) -> tuple[Path, Candidate]:
    stored = read_state(checkpoint)
    config = TrialConfig.from_dict(stored["config"])
    # Seeds may differ in their metrics: STL-10 can be prepared between two of them.
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
    errors, constant = spread["final_val_error_pct"], best_constant_answer(study.paths.data, config)
    candidate = Candidate(
        name=f"{study.spec.name}/{best.trial}",
        val_error_pct=mean(errors),
        val_error_std_pct=sample_std(errors),
        num_seeds=len(errors),
        interp_centered_pct=_mean_of(spread, "interp_centered_pct"),
        interp_centered_chance_pct=_mean_of(spread, "interp_centered_chance_pct"),
        attention_std=best.outcome.get("final_val_attention_std"),
        data_digest=stored["data"]["digest"],
        split_seed=config.data.split_seed,
        asked_val_images=config.data.val_images,
        recorded_error_pct=best.outcome["final_val_error_pct"],
        reloaded_error_pct=measure(folder),
        num_val_images=constant.num_images,
        constant_error_pct=constant.error_pct,
    )
    return folder, candidate


def _mean_of(spread: dict[str, list[float]], metric: str) -> float | None:
    """Returns the mean over the seeds; None for a score that a model without maps does not report."""
    return mean(spread[metric]) if metric in spread else None


class ForeignChampionError(AIBError):
    """The champion has no figures to compare a challenger with."""


def present_champion(uri: str, name: str) -> Candidate | None:
    """Returns the champion's figures; None without a champion; raises ForeignChampionError for a foreign model."""
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
