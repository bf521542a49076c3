"""`aib promote`: judges the finalists of a finished search once more, against the present champion."""

from contextlib import ExitStack

from rich.console import Console

from orchestrator.errors import EXIT_DONE, EXIT_GATE_REFUSED
from orchestrator.finalists.promotion import promote_winner
from orchestrator.finalists.selection import best_finalist
from orchestrator.options import RunOptions
from orchestrator.ray_cluster.connection import connect
from orchestrator.study.paths import study_paths
from orchestrator.study.study import open_study, view_study
from orchestrator.tracking.open_recorder import open_record
from orchestrator.workflow.prepared_run import prepare_run


def promote_study(name: str, options: RunOptions, console: Console) -> int:
    """Judges a study's finalists again and registers the winner; returns the contract's exit code."""
    spec = view_study(study_paths(options.root, name)).spec
    prepared = prepare_run(spec, options, purpose="promote", resume=True, console=console)
    with ExitStack() as stack:
        stack.enter_context(connect(options.address))
        study = stack.enter_context(open_study(prepared.spec, prepared.paths, True, {}))
        recorder = open_record(stack, study, options.tracking_uri, prepared.dataset, console)
        best = best_finalist(prepared.spec, list(study.journal.state.trials.values()))
        promoted = promote_winner(study, recorder, best, prepared.tracking_uri, again=True)
        recorder.stage("done")
    return EXIT_DONE if promoted else EXIT_GATE_REFUSED
