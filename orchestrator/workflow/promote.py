"""`aib promote`: judges the finalists of a finished search once more, against the present champion."""

from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from orchestrator.errors import EXIT_DONE, EXIT_GATE_REFUSED
from orchestrator.finalists.promotion import promote_winner
from orchestrator.finalists.reload_check import reload_error_pct
from orchestrator.finalists.selection import best_finalist
from orchestrator.options import RunOptions
from orchestrator.planning.plan import one_worker_capacity
from orchestrator.ray_cluster.connection import connect
from orchestrator.slots.sharing import SlotSize, Work
from orchestrator.status.room_news import RoomNews
from orchestrator.study.paths import study_paths
from orchestrator.study.study import open_study, view_study
from orchestrator.tracking.open_recorder import open_record
from orchestrator.workflow.prepared_run import prepare_run
from orchestrator.workflow.study_slots import study_slots


def promote_study(name: str, options: RunOptions, console: Console) -> int:
    """Judges a study's finalists again and registers the winner; returns the contract's exit code."""
    spec = view_study(study_paths(options.root, name)).spec
    prepared = prepare_run(spec, options, purpose="promote", resume=True, console=console)
    with ExitStack() as stack:
        cluster = stack.enter_context(connect(options.address))
        study = stack.enter_context(open_study(prepared.spec, prepared.paths, True, {}))
        recorder = open_record(stack, study, options.tracking_uri, prepared.dataset, console)
        best = best_finalist(prepared.spec, list(study.journal.state.trials.values()))

        def measure(exported: Path) -> float:
            with study_slots(study, cluster, False, Work(lambda: 1)) as slots:
                slots.follow(RoomNews(console).tell, lambda trial: None)
                with slots.pool(lambda now: one_worker_capacity(study.spec, now), SlotSize(1, 1)) as pool:
                    return reload_error_pct(exported, study.paths.data, pool, None)

        promoted = promote_winner(study, recorder, best, prepared.tracking_uri, measure, again=True)
        recorder.stage("done")
    return EXIT_DONE if promoted else EXIT_GATE_REFUSED
