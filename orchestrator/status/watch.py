"""Following a study that another process runs: its journal read as it grows, its lease tested, nothing written."""

import time
from collections.abc import Iterator
from itertools import chain

from rich.console import Console

from orchestrator.planning.trials import resolve_trial
from orchestrator.status.live_view import LiveView
from orchestrator.study.journal import JournalTail, StudyState
from orchestrator.study.lock import is_held
from orchestrator.study.paths import StudyPaths
from orchestrator.study.study import view_study


def follow(paths: StudyPaths, every_s: float) -> Iterator[StudyState]:
    """The state now, and again after every interval, while a driver holds the study; once more after it left.

    PreflightError where there is no such study.
    """
    view_study(paths)
    tail = JournalTail(paths.journal)
    while True:
        # Asked before reading: what a driver wrote before it left is then read after it.
        held = is_held(paths.folder)
        tail.read()
        yield tail.state
        if not held:
            return
        time.sleep(every_s)


def watch(paths: StudyPaths, console: Console, every_s: float) -> StudyState:
    """The live table until the study's driver leaves; the state that it left, which is read in place."""
    spec, states = view_study(paths).spec, follow(paths, every_s)
    state = next(states)

    def at_once() -> int:
        return sum(record.state == "running" for record in state.trials.values())

    with LiveView(console, state, spec.trials, resolve_trial(spec, {}).epochs, at_once) as view:
        for _ in chain([state], states):
            for trial in list(state.trials):
                view.update(trial)
    return state
