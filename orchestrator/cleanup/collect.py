"""Finds and removes what no command reads: checkpoints, and files that killed processes left (`aib gc`).

Everything is read before anything is removed, and each removal can be repeated. So a study resumes after a kill at any
moment, and the next `aib gc` finishes the work.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.checks.storage_probe import remove_mark
from orchestrator.cleanup.leftovers import leftovers
from orchestrator.cleanup.references import Reference, references
from orchestrator.errors import PreflightError
from orchestrator.study.checkpoint_storage import TrialStorage, recorded_storage
from orchestrator.study.lock import study_lock
from orchestrator.study.paths import StudyPaths
from orchestrator.study.study import view_study
from trainables.checkpoints.checkpoint_store import CheckpointStore, StoredCheckpoint
from trainables.errors import AIBError, CheckpointError, StorageError


class Removal(NamedTuple):
    what: str
    """Path relative to the study's folder, or to its prefix in the object store."""
    num_bytes: int
    why: str
    remove: Callable[[], None]


class Kept(NamedTuple):
    trial: str
    checkpoints: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Collection:
    """What was removed from a study (or would be, in a dry run), and the trials that keep checkpoints."""

    study: str
    removals: tuple[Removal, ...]
    kept: tuple[Kept, ...]

    @property
    def num_bytes(self) -> int:
        return sum(removal.num_bytes for removal in self.removals)

    def to_json(self, dry_run: bool) -> dict[str, Any]:
        """The keys of `aib gc --json`."""
        removed = [{"what": one.what, "bytes": one.num_bytes, "why": one.why} for one in self.removals]
        kept = [{"trial": one.trial, "checkpoints": list(one.checkpoints), "why": one.why} for one in self.kept]
        return {"study": self.study, "dry_run": dry_run, "removed": removed, "bytes": self.num_bytes, "kept": kept}


def collect(paths: StudyPaths, dry_run: bool) -> Collection:
    """Finds what can be removed and, unless it is a dry run, removes it.

    Raises PreflightError if the study does not exist, a driver runs it, or its storage cannot be read.
    """
    view_study(paths)
    with study_lock(paths.folder):
        # Read again: another process may have written before it released the lock.
        view = view_study(paths)
        storage = recorded_storage(view.facts, paths.trials, paths.name)
        removals, kept = [], []
        try:
            for trial, reference in references(view).items():
                store = storage.of(trial)
                to_remove, to_keep = _split(store, reference)
                removals += list(_checkpoint_removals(trial, store, reference, to_remove))
                if to_keep:
                    kept.append(Kept(trial, tuple(one.name for one in to_keep), reference.reader))
            removals += list(_file_removals(paths))
        except OSError as error:
            raise PreflightError(f"{storage.place} cannot be read ({error}); nothing was removed.") from error
        except StorageError as error:
            raise PreflightError(f"{error} Nothing was removed.") from error
        if not dry_run:
            for removal in removals:
                _remove(removal, storage)
    return Collection(paths.name, tuple(removals), tuple(kept))


def remove_leftovers(paths: StudyPaths) -> None:
    """Removes what killed processes left, for a driver that holds the study lock and has opened nothing else yet.

    What cannot be removed stays for `aib gc`, which says why.
    """
    for removal in list(_file_removals(paths)):
        with suppress(OSError):
            removal.remove()


def _split(store: CheckpointStore, reference: Reference) -> tuple[list[StoredCheckpoint], list[StoredCheckpoint]]:
    """The checkpoints of a trial to remove and to keep.

    Before a complete checkpoint is removed, the ones to keep are checked against their manifests.
    """
    stored = store.listed()
    complete = [one for one in stored if one.complete]
    if reference.keep >= len(complete):
        to_keep = complete
    else:
        to_keep = []
        for one in complete:
            if len(to_keep) < reference.keep and _is_intact(store, one.name):
                to_keep.append(one)
    return [one for one in stored if one not in to_keep], to_keep


def _is_intact(store: CheckpointStore, name: str) -> bool:
    try:
        with store.named(name):
            return True
    except CheckpointError:
        return False


def _checkpoint_removals(
    trial: str, store: CheckpointStore, reference: Reference, to_remove: list[StoredCheckpoint]
) -> Iterator[Removal]:
    for one in to_remove:
        if not one.complete:
            why = "incomplete: its writer died"
        else:
            why = "older, or differs from its manifest" if reference.keep else reference.reader

        def remove(name: str = one.name) -> None:
            store.remove(name)

        yield Removal(f"trials/{trial}/{one.name}", one.num_bytes, why, remove)


def _file_removals(paths: StudyPaths) -> Iterator[Removal]:
    for path, why in leftovers(paths):
        # Removes a link itself, but nothing behind a link: such a folder is outside of the study.
        if path.parent != paths.root and not path.parent.resolve().is_relative_to(paths.folder.resolve()):
            continue
        is_folder = path.is_dir() and not path.is_symlink()
        inside = [one for one in path.rglob("*") if not one.is_dir()] if is_folder else [path]
        num_bytes = sum(one.lstat().st_size for one in inside)

        def remove(path: Path = path, is_folder: bool = is_folder) -> None:
            if path.parent == paths.root:
                remove_mark(path)
            else:
                shutil.rmtree(path) if is_folder else path.unlink(missing_ok=True)

        yield Removal(os.path.relpath(path, paths.folder), num_bytes, why, remove)


def _remove(removal: Removal, storage: TrialStorage) -> None:
    try:
        removal.remove()
    except FileNotFoundError:
        return
    except OSError as error:
        raise AIBError(
            f"{removal.what} of {storage.place} could not be removed ({error}); the items before it are removed. "
            "Fix the cause and run aib gc again."
        ) from error
