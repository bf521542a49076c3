"""Section "Summary" and the sentence above it: stage, number of trials, objectives, data, registered model."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from orchestrator.report.page.document import Block, Facts, Text, spread
from orchestrator.report.runs import ShownRun
from orchestrator.study.ranking import violations
from orchestrator.study.resume import resume_command
from orchestrator.study.study import StudyView

_STAGES = {
    "new": "not started",
    "searching": "searching",
    "training": "training",
    "finalists": "retraining the finalists",
    "publishing": "publishing",
    "done": "done",
    "interrupted": "interrupted",
}


def stage_text(status: Mapping[str, Any]) -> str:
    """The study's stage in words; `status` has the keys of `aib status --json`."""
    stage = str(status["stage"])
    return _STAGES.get(stage, stage)


def registered_text(status: Mapping[str, Any]) -> str:
    """The registered model version in words."""
    version = status["registered"]
    if version is None:
        return "none"
    return f"{version['name']} version {version['version']}, alias {version['alias']}"


def lead_text(status: Mapping[str, Any], run: ShownRun | None) -> str:
    """The outcome of the study in one sentence."""
    if run is None:
        return "No trial has run to its last epoch within every constraint."
    error = spread(run.mean.get("final_test_error_pct"), run.std.get("final_test_error_pct"))
    version = status["registered"]
    published = f"registered as {version['name']} version {version['version']}" if version else "no model registered"
    seeds = f" over {run.num_seeds} seeds" if run.num_seeds > 1 else ""
    config = run.config
    return f"{config.model.name} on {config.data.name}: test error {error} %{seeds}, trial {run.trial}; {published}."


def trial_counts(status: Mapping[str, Any]) -> dict[str, int]:
    """Trials by state; a page does not tell trials before their first step from running ones."""
    counts = status["trials"]
    return {**counts, "running": counts["running"] + counts["starting"]}


def summary_blocks(view: StudyView, status: Mapping[str, Any]) -> tuple[Block, ...]:
    counts, spec = trial_counts(status), view.spec
    interrupted = status["stage"] == "interrupted"
    resume = f"; continue with: {resume_command(spec, view.state)}" if interrupted else ""
    objectives = ", ".join(f"{objective.goal} {objective.metric}" for objective in spec.objectives)
    rules = ", ".join(rule.text for rule in spec.constraints)
    facts = (
        ("Stage", stage_text(status) + resume),
        (
            "Trials",
            f"{counts['planned']} planned, {counts['completed']} completed, {counts['stopped']} stopped early, "
            f"{counts['failed']} failed, {counts['running']} running",
        ),
        ("Objectives", objectives),
        ("Constraints", rules or "none"),
        ("Last event", _last_event(view)),
        ("Spec signature", status["spec_signature"]),
        ("Data digest", _digest(view)),
        ("Registered model", registered_text(status)),
    )
    return (Facts(facts),)


def nothing_to_compare(view: StudyView, status: Mapping[str, Any]) -> Text:
    """Why the study has no best run yet."""
    counts = trial_counts(status)
    ended = counts["completed"] + counts["stopped"] + counts["failed"]
    full = [record for record in view.state.trials.values() if record.state == "completed"]
    broken = Counter(rule for r in full for rule, excess in violations(view.spec, r.outcome).items() if excess > 0)
    breaks = "; ".join(f"{count} broke {rule}" for rule, count in broken.items())
    infeasible = f" {len(full)} completed: {breaks}." if broken else ""
    return Text(
        f"There is nothing to compare yet: no trial has run to its last epoch within every constraint ({ended} of "
        f"{counts['planned']} ended, {counts['running']} running).{infeasible}",
        "note",
    )


def _digest(view: StudyView) -> str:
    data = view.facts.get("data")
    return f"{data['digest']} ({data['name']})" if data else "not recorded"


def _last_event(view: StudyView) -> str:
    times = [time for r in view.state.trials.values() for time in (r.started_s, r.ended_s) if time is not None]
    return f"{datetime.fromtimestamp(max(times), UTC):%Y-%m-%d %H:%M:%S} UTC" if times else "none"
