"""Follows a study that another process runs: reads its growing journal, tests its lock, writes nothing."""

import time
from collections.abc import Iterator
from itertools import chain

from rich.console import Console

from orchestrator.planning.trials import resolve_trial
from orchestrator.status.live_view import LiveView
from orchestrator.study.journal import JournalTail, StudyState
from orchestrator.study.lock import is_held
from orchestrator.study.paths import StudyPaths
from orchestrator.study.slot_report import read_slot_report
from orchestrator.study.study import view_study


def follow(paths: StudyPaths, every_s: float) -> Iterator[StudyState]:
    """Yields the state every `every_s` seconds while a driver holds the study, and once more after the driver left.

    Raises PreflightError if the study does not exist.
    """
    view_study(paths)
    tail = JournalTail(paths.journal)
    while True:
        # The lock before the journal: all events that a driver wrote before it left are then read.
        held = is_held(paths.folder)
        tail.read()
        yield tail.state
        if not held:
            return
        time.sleep(every_s)


def watch(paths: StudyPaths, console: Console, every_s: float) -> StudyState:
    """Shows the live view until the driver leaves; returns the last state, which is updated in place meanwhile."""
    spec, states = view_study(paths).spec, follow(paths, every_s)
    state = next(states)

    def num_running() -> int:
        return sum(record.state == "running" for record in state.trials.values())

    with LiveView(console, state, spec.trials, resolve_trial(spec, {}).epochs, num_running) as view:
        for _ in chain([state], states):
            view.note(read_slot_report(paths.slot_report))
            for trial in list(state.trials):
                view.update(trial)
    return state
