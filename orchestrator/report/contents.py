"""What the report of a study says, section by section; whatever is not there yet is said to be missing."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from orchestrator.report.comparison import error_blocks, interpretability_blocks
from orchestrator.report.document import Block, Command, Facts, Report, Row, Section, Table, Text, spread
from orchestrator.report.retrain import retrain_command
from orchestrator.report.subject import Subject
from orchestrator.report.tables import finalists_table, shown_params, trials_table
from orchestrator.study import StudyView
from orchestrator.summary import status_of

_STAGES = {
    "new": "not started",
    "searching": "searching",
    "training": "training",
    "finalists": "retraining the finalists",
    "publishing": "publishing",
    "done": "done",
    "interrupted": "interrupted; continue it with: aib search SPEC --resume",
}


def contents(view: StudyView, subject: Subject | None, pictures: Mapping[str, tuple[Block, ...]]) -> Report:
    """The report; `pictures` are the drawn blocks of the sections `search`, `curves` and `maps`."""
    status = status_of(view)
    comparison = (*error_blocks(subject), *interpretability_blocks(subject)) if subject else (_nothing_yet(status),)
    sections = (
        Section("summary", "Summary", _summary(view, status)),
        Section("best", "Best configuration", _best(subject, status)),
        Section("finalists", "Finalists", _finalists(view, status, subject)),
        Section("paper", "Beside the paper", comparison),
        Section("search", "The search", pictures["search"]),
        Section("curves", "Curves", pictures["curves"]),
        Section("maps", "Attention maps", pictures["maps"]),
        Section("trials", "Trials", _trials(view)),
    )
    return Report(f"Study {view.spec.name}", _lead(status, subject), sections)


def _lead(status: Mapping[str, Any], subject: Subject | None) -> str:
    if subject is None:
        return "No trial has run to its last epoch within every constraint."
    error = spread(subject.mean.get("final_test_error_pct"), subject.std.get("final_test_error_pct"))
    version = status["registered"]
    published = f"registered as {version['name']} version {version['version']}" if version else "no model registered"
    over = f" over {subject.num_seeds} seeds" if subject.num_seeds > 1 else ""
    config = subject.config
    return f"{config.model.name} on {config.data.name}: test error {error} %{over}, trial {subject.trial}; {published}."


def _summary(view: StudyView, status: Mapping[str, Any]) -> tuple[Block, ...]:
    counts, spec = status["trials"], view.spec
    objectives = ", ".join(f"{objective.goal} {objective.metric}" for objective in spec.objectives)
    rules = ", ".join(
        f"{rule.metric} at {'least' if rule.at_most is None else 'most'} "
        f"{rule.at_least if rule.at_most is None else rule.at_most:g}"
        for rule in spec.constraints
    )
    facts = (
        ("Stage", _STAGES.get(status["stage"], status["stage"])),
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
        ("Registered model", _registered(status)),
    )
    return (Facts(facts), *_gate(status["gate"]))


def _digest(view: StudyView) -> str:
    data = view.facts.get("data")
    return f"{data['digest']} ({data['name']})" if data else "not recorded"


def _last_event(view: StudyView) -> str:
    times = [time for r in view.state.trials.values() for time in (r.started_s, r.ended_s) if time is not None]
    return f"{datetime.fromtimestamp(max(times), UTC):%Y-%m-%d %H:%M:%S} UTC" if times else "none"


def _best(subject: Subject | None, status: Mapping[str, Any]) -> tuple[Block, ...]:
    if subject is None:
        return (_nothing_yet(status),)
    error = spread(subject.mean.get("final_val_error_pct"), subject.std.get("final_val_error_pct"))
    rows = (
        ("Trial", subject.trial),
        ("Parameters", shown_params(subject.shown.params)),
        ("Validation error", f"{error} %"),
        ("Best epoch", f"{subject.shown.best_row['epoch']:.0f} of {subject.config.epochs} (seed {subject.shown.seed})"),
    )
    return (Facts(rows), Text("To train it again:"), Command(retrain_command(subject.config)))


def _finalists(view: StudyView, status: Mapping[str, Any], subject: Subject | None) -> tuple[Block, ...]:
    rows = status["finalists"]
    if not rows:
        text = "No finalist has been retrained; what follows shows the best single run."
        return (Text(text if subject else "No finalist has been retrained.", "note"),)
    return (finalists_table(rows, subject.trial if subject and subject.num_seeds else None),)


def _trials(view: StudyView) -> tuple[Block, ...]:
    trials = [*view.state.of_kind("search"), *view.state.of_kind("train")]
    return (trials_table(view.spec, trials),) if trials else (Text("No trial has been started.", "note"),)


def _nothing_yet(status: Mapping[str, Any]) -> Text:
    counts = status["trials"]
    ended = counts["completed"] + counts["stopped"] + counts["failed"]
    return Text(
        f"No trial has run to its last epoch within every constraint ({ended} of {counts['planned']} ended, "
        f"{counts['running']} running), so there is nothing to compare yet.",
        "note",
    )


def _registered(status: Mapping[str, Any]) -> str:
    version = status["registered"]
    if version is None:
        return "none"
    return f"{version['name']} version {version['version']}, alias {version['alias']}"


def _gate(gate: Mapping[str, Any] | None) -> tuple[Block, ...]:
    if gate is None:
        return (Text("The gate has not decided yet: no finalist has been compared with the champion.", "note"),)
    outcome = "made the best finalist champion" if gate["promote"] else "refused the best finalist"
    rows = (Row((r["rule"], "passed" if r["passed"] else "failed", r["text"])) for r in gate["reasons"])
    columns = ("rule", "outcome", "reason")
    prose = frozenset({"reason"})
    return (Table("gate", f"The gate {outcome}.", columns, tuple(rows), frozenset({"outcome"}), prose),)
