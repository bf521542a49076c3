"""What the report of a study says, section by section; whatever is not there yet is said to be missing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from orchestrator.report.page.document import (
    MISSING,
    Block,
    Command,
    Facts,
    Picture,
    Report,
    Row,
    Section,
    Table,
    Text,
    spread,
)
from orchestrator.report.paper.ablation import ablation_blocks
from orchestrator.report.paper.comparison import error_blocks, interpretability_blocks
from orchestrator.report.paper.paper_tables import paper_table_blocks
from orchestrator.report.paper.side_by_side import side_by_side_blocks
from orchestrator.report.runs import Subject, find_subject, find_subjects, most_thorough, seen
from orchestrator.report.sections.maps_section import map_blocks
from orchestrator.report.sections.registry_section import registry_blocks
from orchestrator.report.sections.retrain import retrain_command
from orchestrator.report.sections.search_section import search_blocks
from orchestrator.report.sections.trial_section import trial_blocks
from orchestrator.report.source import StudySource
from orchestrator.report.tables import finalists_table, shown_params, trials_table
from orchestrator.status.summary import status_of
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


def study_report(source: StudySource) -> Report:
    """The report of one study."""
    view, subject = source.view, find_subject(source.view)
    status = status_of(view)
    found = [(source.name, one) for one in find_subjects(view)]
    runs = seen(source, [one for _, one in found])
    comparison = (
        (*error_blocks(subject), *interpretability_blocks(subject)) if subject else (_nothing_yet(view, status),)
    )
    sections = (
        Section("summary", "Summary", _summary(view, status)),
        Section("best", "Best configuration", _best(view, subject, status)),
        Section("finalists", "Finalists", _finalists(view, status, subject)),
        Section("paper", "Beside the paper", comparison),
        Section("tables", "The paper's tables", paper_table_blocks(found, runs)),
        Section("ablation", "Ablation", ablation_blocks([source])),
        Section("search", "The search", search_blocks(view)),
        Section("trial", "The best run", trial_blocks(source, subject)),
        Section("maps", "Attention maps", (*map_blocks(source, subject), *side_by_side_blocks(runs))),
        Section("registry", "Registry", registry_blocks(view)),
        Section("trials", "Trials", _trials(view)),
    )
    return Report(f"Study {view.spec.name}", _lead(status, subject), sections)


def studies_report(sources: Sequence[StudySource]) -> Report:
    """The report of several studies: what they give together, then each by itself."""
    found = [(source.name, one) for source in sources for one in find_subjects(source.view)]
    runs = [run for source in sources for run in seen(source, find_subjects(source.view))]
    chosen = most_thorough([(run.source.name, run.subject) for run in runs]).values()
    kept = {(name, subject.shown.trial) for name, subject in chosen}
    shown = [run for run in runs if (run.source.name, run.subject.shown.trial) in kept]
    together = (
        Section("studies", "Studies", (_studies(sources),)),
        Section("tables", "The paper's tables", paper_table_blocks(found, runs)),
        Section("ablation", "Ablation", ablation_blocks(sources)),
        Section("side-by-side", "Attention maps of several models", side_by_side_blocks(shown)),
    )
    alone = [_under_name(source.name, section) for source in sources for section in _of_one(source)]
    models = ", ".join(dict.fromkeys(subject.config.model.name for _, subject in found)) or "no model yet"
    lead = f"{len(sources)} studies with {sum(len(s.view.state.trials) for s in sources)} trials: {models}."
    return Report(f"Studies {', '.join(source.name for source in sources)}", lead, (*together, *alone))


_TOGETHER = frozenset({"tables", "ablation"})


def _of_one(source: StudySource) -> list[Section]:
    return [section for section in study_report(source).sections if section.id not in _TOGETHER]


def _under_name(name: str, section: Section) -> Section:
    """The section with its study in front of its ids and title, so that several stand on one page."""
    blocks = tuple(
        replace(block, id=f"{name}-{block.id}") if isinstance(block, (Picture, Table)) else block
        for block in section.blocks
    )
    return Section(f"{name}-{section.id}", section.title, blocks, group=name)


def _studies(sources: Sequence[StudySource]) -> Table:
    rows = []
    for source in sources:
        status, subject = status_of(source.view), find_subject(source.view)
        counts = status["trials"]
        best = MISSING if subject is None else f"{subject.config.model.name} on {subject.config.data.name}"
        error = MISSING
        if subject is not None:
            error = spread(subject.mean.get("final_test_error_pct"), subject.std.get("final_test_error_pct"))
        states = (str(counts[name]) for name in ("planned", "completed", "stopped", "failed", "running"))
        stage = _STAGES.get(status["stage"], status["stage"])
        rows.append(Row((source.name, stage, *states, best, error, _registered(status))))
    heads = ("study", "stage", "planned", "completed", "stopped", "failed", "running", "best", "test error %")
    return Table(
        "studies-table",
        "The studies of this page.",
        (*heads, "registered"),
        tuple(rows),
        frozenset({"stage", "best", "registered"}),
    )


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
    interrupted = status["stage"] == "interrupted"
    going_on = f"; continue it with: {resume_command(spec, view.state)}" if interrupted else ""
    objectives = ", ".join(f"{objective.goal} {objective.metric}" for objective in spec.objectives)
    rules = ", ".join(rule.text for rule in spec.constraints)
    facts = (
        ("Stage", _STAGES.get(status["stage"], status["stage"]) + going_on),
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
    return (Facts(facts),)


def _digest(view: StudyView) -> str:
    data = view.facts.get("data")
    return f"{data['digest']} ({data['name']})" if data else "not recorded"


def _last_event(view: StudyView) -> str:
    times = [time for r in view.state.trials.values() for time in (r.started_s, r.ended_s) if time is not None]
    return f"{datetime.fromtimestamp(max(times), UTC):%Y-%m-%d %H:%M:%S} UTC" if times else "none"


def _best(view: StudyView, subject: Subject | None, status: Mapping[str, Any]) -> tuple[Block, ...]:
    if subject is None:
        return (_nothing_yet(view, status),)
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


def _nothing_yet(view: StudyView, status: Mapping[str, Any]) -> Text:
    counts = status["trials"]
    ended = counts["completed"] + counts["stopped"] + counts["failed"]
    full = [record for record in view.state.trials.values() if record.state == "completed"]
    broken = Counter(rule for r in full for rule, excess in violations(view.spec, r.outcome).items() if excess > 0)
    breaks = "; ".join(f"{rule} broken by {count}" for rule, count in broken.items())
    whole = f" {len(full)} ran in full: {breaks}." if broken else ""
    return Text(
        f"No trial has run to its last epoch within every constraint ({ended} of {counts['planned']} ended, "
        f"{counts['running']} running), so there is nothing to compare yet.{whole}",
        "note",
    )


def _registered(status: Mapping[str, Any]) -> str:
    version = status["registered"]
    if version is None:
        return "none"
    return f"{version['name']} version {version['version']}, alias {version['alias']}"
