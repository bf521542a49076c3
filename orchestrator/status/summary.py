"""Summarises a study: the JSON objects of `aib status`, `trials`, `best` and `search`, and their text."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from orchestrator.study.journal import TrialRecord
from orchestrator.study.lock import is_held
from orchestrator.study.outcome import OUTCOMES, study_exit_code
from orchestrator.study.paths import StudyPaths
from orchestrator.study.ranking import best_trials
from orchestrator.study.seed_statistics import mean, sample_std
from orchestrator.study.slot_report import read_slot_report
from orchestrator.study.study import StudyView, view_study
from orchestrator.tracking.mlflow.store import run_page


def trial_row(record: TrialRecord) -> dict[str, Any]:
    """One trial; `metrics` are those that rank it (`TrialRecord.outcome`)."""
    return {
        "trial": record.trial,
        "kind": record.kind,
        "of": record.of,
        "state": record.shown_state,
        "reason": record.reason,
        "failure_kind": record.failure_kind,
        "epoch": record.epoch,
        "seed": record.seed,
        "params": record.params,
        "metrics": record.outcome,
    }


def status_of(view: StudyView) -> dict[str, Any]:
    """The keys of `aib search --json`, with `stage` and the numbers of starting and of running trials.

    `exit_code` and `outcome` say how a study ended; they are None before its end.
    """
    # A study is either a search or, from `aib train`, a single trial with fixed values.
    trials = [*view.state.of_kind("search"), *view.state.of_kind("train")]
    counts = Counter(record.shown_state for record in trials)
    ordered = best_trials(view.spec, trials)
    code = study_exit_code(view.spec, view.state) if view.state.stage == "done" else None
    return {
        "study": view.spec.name,
        "stage": view.state.stage,
        "exit_code": code,
        "outcome": None if code is None else OUTCOMES[code],
        "spec_signature": view.facts["signature"],
        "trials": {
            "planned": view.spec.trials,
            **{state: counts[state] for state in ("completed", "stopped", "failed", "starting", "running")},
        },
        "best": _best(ordered[0]) if ordered else None,
        "start_s": view.state.start_s or None,
        "finalists": finalist_rows(view.state.of_kind("finalist")),
        "gate": view.state.gate,
        "mlflow": view.state.mlflow,
        "registered": view.state.registered,
        "report": view.state.report,
    }


def read_status(paths: StudyPaths) -> tuple[StudyView, dict[str, Any]]:
    """The study, and the keys of `aib status --json`. Raises PreflightError if the study does not exist."""
    # The lock before the journal: all events that a driver wrote before it left are then read.
    driver_running = is_held(paths.folder)
    view = view_study(paths)
    return view, {**status_of(view), "driver_running": driver_running, "slots": slots_of(paths, driver_running)}


def slots_of(paths: StudyPaths, driver_running: bool) -> dict[str, Any] | None:
    """A running study's slots, with `text` if some wait for room; None before its driver has reported them."""
    report = read_slot_report(paths.slot_report) if driver_running else None
    return None if report is None else {**report.to_json(), "text": report.text}


def finalist_rows(records: list[TrialRecord]) -> list[dict[str, Any]]:
    """One row per finalist: mean and standard deviation of each metric over its seeds."""
    rows = []
    for of in dict.fromkeys(record.of for record in records):
        seeds = [record for record in records if record.of == of]
        done = [record.outcome for record in seeds if record.state == "completed"]
        shared = [name for name in (done[0] if done else {}) if all(name in outcome for outcome in done)]
        rows.append(
            {
                "of": of,
                "params": seeds[0].params,
                "seeds": [record.seed for record in seeds],
                "trials": [record.trial for record in seeds],
                "completed": len(done),
                "mean": {name: mean([o[name] for o in done]) for name in shared},
                "std": {name: sample_std([o[name] for o in done]) for name in shared},
            }
        )
    return rows


def stage_text(status: Mapping[str, Any]) -> str:
    """The stage in words, from the object of `aib status --json`; for a study at its end also how it ended."""
    # A cluster with an earlier version has no key `exit_code`.
    ended_otherwise = status.get("exit_code")
    return (status["stage"] or "not started") + (f", {status['outcome']}" if ended_otherwise else "")


def start_text(start_s: Mapping[str, float]) -> str:
    """The parts of a run's start, as far as it has come."""
    parts = ", ".join(f"{name.replace('_', ' ')} {seconds:.1f} s" for name, seconds in start_s.items())
    return f"{parts}; {sum(start_s.values()):.1f} s in all"


def _best(record: TrialRecord) -> dict[str, Any]:
    return {"trial": record.trial, "params": record.params, "metrics": record.outcome}


def summary_lines(view: StudyView) -> list[str]:
    """The text that is printed when a study ends."""
    found = status_of(view)
    counts = found["trials"]
    lines = [
        f"study {found['study']}: {stage_text(found)}; of {counts['planned']} trials {counts['completed']} completed, "
        f"{counts['stopped']} stopped early, {counts['failed']} failed"
    ]
    lines += [f"start: {start_text(found['start_s'])}"] if found["start_s"] else []
    for record in view.state.of_kind("train"):
        lines.append(f"{record.trial}: {record.state} {record.reason}".rstrip())
        lines += [f"  {name} {value:.4g}" for name, value in _printed(record.outcome)]
    for row in found["finalists"]:
        if row["completed"]:
            lines.append(f"finalist {row['of']}, {row['completed']} seeds:")
            lines += [f"  {name} {value:.4g}{_spread(row['std'][name])}" for name, value in _printed(row["mean"])]
    if found["gate"]:
        lines.append("gate: " + ("passed" if found["gate"]["promote"] else "refused"))
        lines += [f"  {'ok' if r['passed'] else 'NO'}  {r['text']}" for r in found["gate"]["reasons"]]
    if found["registered"]:
        version = found["registered"]
        trial = view.state.trials.get(version.get("trial", ""))
        lines.append(
            f"registered: models:/{version['name']}@{version['alias']} (version {version['version']})"
            + (f", trial {trial.trial}:" if trial else "")
        )
        lines += [f"  {name} {value:.4g}" for name, value in _printed(trial.outcome if trial else {})]
    if found["mlflow"]:
        record = found["mlflow"]
        lines.append(f"record: {record['tracking_uri']}, experiment {found['study']}")
        page = run_page(record["tracking_uri"], record["experiment_id"], record["run_id"])
        lines += [f"open: {page}"] if page else []
    if found["report"]:
        lines.append(f"report: {found['report']}")
    return lines


PRINTED_METRICS = (
    "final_val_error_pct",
    "final_test_error_pct",
    "interp_centered_pct",
    "interpretability_pct",
    "interp_chance_pct",
    "final_val_attention_std",
    "attention_in_mask_pct",
    "mask_area_pct",
    "stl10_train_error_pct",
    "stl10_test_error_pct",
)


def _printed(metrics: dict[str, float]) -> list[tuple[str, float]]:
    return [(name, metrics[name]) for name in PRINTED_METRICS if name in metrics]


def _spread(std: float | None) -> str:
    return "" if std is None else f" ± {std:.2g}"
