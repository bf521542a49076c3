"""The sections of a report and their order, for one study and for several."""

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.report.page.document import Picture, Report, Section, Table
from orchestrator.report.paper.ablation import ablation_blocks
from orchestrator.report.paper.comparison import error_blocks, interpretability_blocks
from orchestrator.report.paper.maps_side_by_side import side_by_side_blocks
from orchestrator.report.paper.tables_1_to_4 import paper_table_blocks
from orchestrator.report.runs import choose_run, choose_runs, largest_budget, with_checkpoints
from orchestrator.report.sections.attention_maps import map_blocks
from orchestrator.report.sections.best_configuration import configuration_blocks
from orchestrator.report.sections.best_run import run_blocks
from orchestrator.report.sections.finalists_table import finalists_blocks
from orchestrator.report.sections.registry_outcome import registry_blocks
from orchestrator.report.sections.search_results import search_blocks
from orchestrator.report.sections.studies_table import studies_table
from orchestrator.report.sections.study_summary import lead_text, nothing_to_compare, summary_blocks
from orchestrator.report.sections.trials_table import trials_blocks
from orchestrator.report.source import StudySource
from orchestrator.status.summary import status_of

_SHARED = frozenset({"tables", "ablation"})
"""Sections that several studies have in common: a report on several shows them once."""


def study_report(source: StudySource) -> Report:
    """The report on one study; a section without data says what is missing."""
    view, best = source.view, choose_run(source.view)
    status = status_of(view)
    runs = choose_runs(view)
    named, stored = [(source.name, run) for run in runs], with_checkpoints(source, runs)
    nothing = (nothing_to_compare(view, status),)
    comparison = (*error_blocks(best), *interpretability_blocks(best)) if best else nothing
    sections = (
        Section("summary", "Summary", summary_blocks(view, status)),
        Section("best", "Best configuration", configuration_blocks(best) if best else nothing),
        Section("finalists", "Finalists", finalists_blocks(status["finalists"], best)),
        Section("paper", "Comparison with the paper", comparison),
        Section("tables", "The paper's tables", paper_table_blocks(named, stored)),
        Section("ablation", "Ablation", ablation_blocks([source])),
        Section("search", "The search", search_blocks(view)),
        Section("trial", "The best run", run_blocks(source, best)),
        Section("maps", "Attention maps", (*map_blocks(source, best), *side_by_side_blocks(stored))),
        Section("registry", "Registry", registry_blocks(view)),
        Section("trials", "Trials", trials_blocks(view)),
    )
    return Report(f"Study {view.spec.name}", lead_text(status, best), sections)


def studies_report(sources: Sequence[StudySource]) -> Report:
    """The report on several studies: first what they share, then each study's own sections."""
    named = [(source.name, run) for source in sources for run in choose_runs(source.view)]
    stored = [run for source in sources for run in with_checkpoints(source, choose_runs(source.view))]
    chosen = largest_budget([(run.source.name, run.shown) for run in stored]).values()
    kept = {(name, run.record.trial) for name, run in chosen}
    compared = [run for run in stored if (run.source.name, run.shown.record.trial) in kept]
    shared = (
        Section("studies", "Studies", (studies_table(sources),)),
        Section("tables", "The paper's tables", paper_table_blocks(named, stored)),
        Section("ablation", "Ablation", ablation_blocks(sources)),
        Section("side-by-side", "Attention maps of several models", side_by_side_blocks(compared)),
    )
    own = [
        _with_study_name(source.name, section)
        for source in sources
        for section in study_report(source).sections
        if section.id not in _SHARED
    ]
    models = ", ".join(dict.fromkeys(run.config.model.name for _, run in named)) or "no model yet"
    lead = f"{len(sources)} studies with {sum(len(s.view.state.trials) for s in sources)} trials: {models}."
    return Report(f"Studies {', '.join(source.name for source in sources)}", lead, (*shared, *own))


def _with_study_name(name: str, section: Section) -> Section:
    """Puts the study's name before the section's ids and title, so that ids stay unique on the page."""
    blocks = tuple(
        replace(block, id=f"{name}-{block.id}") if isinstance(block, (Picture, Table)) else block
        for block in section.blocks
    )
    return Section(f"{name}-{section.id}", section.title, blocks, group=name)
