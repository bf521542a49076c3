"""A study's folder: the resolved spec, the journal and the lock. One driver opens it; readers get a view."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import PreflightError
from orchestrator.planning.signature import signed_fields, spec_signature
from orchestrator.study.addresses import located
from orchestrator.study.checkpoint_storage import TrialStorage, recorded_storage
from orchestrator.study.journal import Journal, StudyState, read_state
from orchestrator.study.lock import study_lock
from orchestrator.study.lost_journal import check_journal
from orchestrator.study.paths import StudyPaths
from search_spaces.errors import SpecError
from search_spaces.schema import SearchSpec
from trainables.errors import ConfigError, StorageError
from trainables.runtime.atomic_file import replace_file


@dataclass(frozen=True)
class Study:
    """A study that this process holds the lock of and may write to."""

    spec: SearchSpec
    signature: str
    paths: StudyPaths
    journal: Journal
    resumed: bool
    storage: TrialStorage


def check_startable(spec: SearchSpec, paths: StudyPaths, resume: bool) -> bool:
    """Returns whether this run resumes a study; writes nothing.

    With `resume`, a study that does not exist starts, so that one command serves the first run and a retry. Raises
    ConfigError where a study of that name exists and must not be continued: without `resume`, or under another spec.
    Raises PreflightError where the study's journal is lost.
    """
    stored = paths.stored()
    if stored is None:
        return False
    if not resume:
        raise ConfigError(
            f"a study named '{spec.name}' exists in {paths.folder}; continue it with --resume, or choose another "
            "name with --name."
        )
    if stored["signature"] != spec_signature(spec):
        if spec_signature(stored_spec(paths, stored)) != stored["signature"]:
            raise PreflightError(
                f"{paths.study_json} was changed after the study began: the spec in it no longer gives its signature "
                f"{stored['signature'][:80]!r}. Restore the file from a copy to continue the study; to search with "
                "other values, start another one from its YAML file with --name."
            )
        before = signed_fields(stored["spec"])
        changed = sorted(
            key
            for key, value in signed_fields(spec.to_dict()).items()
            if json.loads(json.dumps(value)) != before.get(key)
        )
        raise ConfigError(
            f"the study '{spec.name}' in {paths.folder} was started with another spec (differs in "
            f"{', '.join(changed)}); resume it with its own spec (give the study's name in place of the file), "
            "or choose another name with --name."
        )
    check_journal(paths)
    return True


@contextmanager
def open_study(spec: SearchSpec, paths: StudyPaths, resume: bool, facts: Mapping[str, Any]) -> Iterator[Study]:
    """Creates the study or opens it to resume, and holds its lock.

    A new study stores `facts` (data digest, versions, storage) beside its spec. Raises ConfigError as
    `check_startable` does, and PreflightError while another process holds the lock.
    """
    paths.create()
    with study_lock(paths.folder):
        # The check before the start is not enough: another driver may have made the study meanwhile, and died.
        resumed = check_startable(spec, paths, resume)
        signature = spec_signature(spec)
        if not resumed:
            record = {"signature": signature, "spec": spec.to_dict(), **facts}
            _write(paths, record)
        journal = Journal(paths.journal)
        try:
            storage = recorded_storage(paths.stored() or {}, paths.trials, spec.name)
            yield Study(spec, signature, paths, journal, resumed, storage)
        finally:
            journal.close()


def _write(paths: StudyPaths, record: Mapping[str, Any]) -> None:
    """Writes study.json as a whole, readable by its owner alone whatever the umask."""
    text, aside = json.dumps(record, indent=1), paths.study_json.with_suffix(".tmp")
    try:
        replace_file(paths.study_json, text, aside=aside, mode=0o600, durable=True)
    except OSError as error:
        raise StorageError.unwritable(paths.study_json, error) from None


@dataclass(frozen=True)
class StudyView:
    """What a reader sees of a running or finished study."""

    spec: SearchSpec
    facts: dict[str, Any]
    state: StudyState


def view_study(paths: StudyPaths) -> StudyView:
    """Reads a study; its addresses are under the present root.

    Raises PreflightError where the study does not exist, which lists the existing ones, or where its journal is lost.
    """
    facts = paths.read_stored()
    if facts is None:
        raise PreflightError(no_such_study(paths))
    spec = stored_spec(paths, facts)
    check_journal(paths)
    return StudyView(spec, facts, located(paths, read_state(paths.journal)))


def no_such_study(paths: StudyPaths) -> str:
    """Says that there is no study of this name, and which ones there are."""
    there = sorted(path.parent.name for path in paths.folder.parent.glob("*/study.json"))
    return f"there is no study '{paths.name}' in {paths.folder.parent}; " + (
        f"studies there: {', '.join(there)}." if there else "start one with: aib search SPEC."
    )


def stored_spec(paths: StudyPaths, facts: Mapping[str, Any]) -> SearchSpec:
    """Returns the spec of `study.json`; raises PreflightError where it is damaged."""
    try:
        return SearchSpec.from_dict(facts["spec"], source=f"the spec in {paths.study_json}")
    except SpecError as error:
        raise PreflightError(
            f"{error} The file was damaged or changed; restore it from a copy, or choose another name with --name."
        ) from None
