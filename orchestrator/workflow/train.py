"""`aib train`: one trial with fixed values, recorded like a study of one trial."""

from rich.console import Console

from orchestrator.finalists.fixed_trials import PlannedTrial
from orchestrator.options import RunOptions
from orchestrator.planning.trials import resolve_trial
from orchestrator.slots.sharing import Work
from orchestrator.study.outcome import study_exit_code
from orchestrator.workflow.prepared_run import prepare_run
from orchestrator.workflow.session import running
from search_spaces.schema import SearchSpec


def as_single_trial(spec: SearchSpec, name: str | None) -> SearchSpec:
    """Returns the spec as one trial with fixed values: its trial section and its first point; nothing varies.

    Without a `name`, the study of the search NAME is NAME-train. A spec made of --set alone is called `train` already.
    """
    point = dict(spec.first[0]) if spec.first else {}
    name = name or (spec.name if spec.name == "train" else f"{spec.name}-train")
    fixed = {
        "name": name,
        "trial": {**spec.trial, **point},
        "space": {},
        "first": [],
        "trials": 1,
        "scheduler": {"name": "none"},
    }
    return SearchSpec.from_dict({**spec.to_dict(), **fixed, "sampler": {"name": "random"}})


def run_single(spec: SearchSpec, options: RunOptions, *, resume: bool, console: Console) -> int:
    """Trains one trial with the spec's fixed values; returns the contract's exit code."""
    prepared = prepare_run(spec, options, purpose="train", resume=resume, console=console)
    with running(prepared, console, lambda spec, state: Work(lambda: 1)) as run:
        run.recorder.stage("training")
        config = resolve_trial(prepared.spec, {})
        run.train([PlannedTrial(trial="train", kind="train", config=config, params={})])
        if (code := run.end_interrupted()) is not None:
            return code
        run.recorder.stage("done")
    return study_exit_code(prepared.spec, run.recorder.journal.state)
