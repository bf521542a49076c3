"""Resuming a study by its name: the stored spec, and the command to type."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from orchestrator.options import DEFAULT_ROOT
from orchestrator.study.journal import StudyState
from orchestrator.study.paths import study_paths
from orchestrator.study.study import StudyView, no_such_study, view_study
from search_spaces.names import check_name
from search_spaces.schema import SearchSpec
from trainables.errors import ConfigError

Verb = Literal["search", "train"]
_SPEC_FILES = (".yaml", ".yml")


def resume_command(spec: SearchSpec, state: StudyState, root: Path = DEFAULT_ROOT) -> str:
    """Returns the command that resumes the study; it does not need the spec's file."""
    where = "" if root == DEFAULT_ROOT else f" --root {shlex.quote(str(root))}"
    return f"aib {_verb(spec, state)} {spec.name} --resume{where}"


def spec_to_resume(given: Path, verb: Verb, root: Path, changed: bool) -> SearchSpec | None:
    """Returns the stored spec of the study with that name; None where a file has the name, or only a file can.

    Raises ConfigError where there is neither, where the other verb started the study, or where the command asks to
    change its spec (`changed`).
    """
    try:
        paths = study_paths(root, check_name(str(given)))
    except (ValueError, ConfigError):
        return None
    if given.exists():
        return None
    if paths.stored() is None:
        if given.suffix in _SPEC_FILES:
            return None
        raise ConfigError(f"{no_such_study(paths)} Nor is there a file '{given}' that a search could start from.")
    view: StudyView = view_study(paths)
    if _verb(view.spec, view.state) != verb or changed:
        raise ConfigError(
            f"the study '{given}' in {paths.folder} resumes by its name as it started; leave out --set and --name: "
            f"{resume_command(view.spec, view.state, root)}"
        )
    return view.spec


def needs_resume(status: Mapping[str, Any]) -> bool:
    """Returns whether a study is unfinished and no process runs it, from the object of `aib status --json`."""
    job = status.get("job")
    starts = job is not None and job["exit_code"] is None
    # A cluster with an earlier version has no key `driver_running`.
    return status["stage"] not in (None, "new", "done") and not status.get("driver_running", True) and not starts


def _verb(spec: SearchSpec, state: StudyState) -> Verb:
    return "search" if spec.space or state.of_kind("search") else "train"
