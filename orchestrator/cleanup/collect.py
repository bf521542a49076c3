"""What can go from a study's storage, and its removal: checkpoints that nobody reads, and what kills left behind.

Everything is looked at before anything is removed, and each removal is whole or can be made again, so that a kill at
any moment leaves a study that resumes, and the next run finishes the work.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.cleanup.leftovers import leftovers
from orchestrator.cleanup.references import Reference, references
from orchestrator.errors import PreflightError
from orchestrator.study.checkpoint_storage import TrialStorage, recorded_storage
from orchestrator.study.lock import study_lock
from orchestrator.study.paths import StudyPaths
from orchestrator.study.study import view_study
from trainables.checkpoints.folder_store import CheckpointStore, StoredCheckpoint
from trainables.errors import AIBError, CheckpointError, StorageError


class Removal(NamedTuple):
    what: str
    """Path below the study's folder, or below its place in the object store."""
    num_bytes: int
    why: str
    carry_out: Callable[[], None]


class Kept(NamedTuple):
    trial: str
    checkpoints: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Collection:
    """What was, or would be, removed from a study, and which trials keep checkpoints."""

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
    """Finds what can go and, unless it is a dry run, removes it.

    Raises PreflightError where there is no such study, a driver runs it, or its storage does not answer.
    """
    view_study(paths)
    with study_lock(paths.folder):
        # Again: what another process wrote before it gave the lease back counts.
        view = view_study(paths)
        storage = recorded_storage(view.facts, paths.trials, paths.name)
        removals, kept = [], []
        try:
            for trial, reference in references(view).items():
                store = storage.of(trial)
                going, staying = _split(store, reference)
                removals += list(_checkpoint_removals(trial, store, reference, going))
                if staying:
                    kept.append(Kept(trial, tuple(one.name for one in staying), reference.reader))
            removals += list(_file_removals(paths))
        except OSError as error:
            raise PreflightError(f"{storage.place} cannot be read ({error}); nothing was removed.") from error
        except StorageError as error:
            raise PreflightError(f"{error} Nothing was removed.") from error
        if not dry_run:
            for removal in removals:
                _carry_out(removal, storage)
    return Collection(paths.name, tuple(removals), tuple(kept))


def _split(store: CheckpointStore, reference: Reference) -> tuple[list[StoredCheckpoint], list[StoredCheckpoint]]:
    """What of a trial's checkpoints goes and what stays. None goes unless those that stay were read back whole."""
    stored = store.listed()
    complete = [one for one in stored if one.complete]
    if reference.keep >= len(complete):
        staying = complete
    else:
        staying = []
        for one in complete:
            if len(staying) < reference.keep and _is_sound(store, one.name):
                staying.append(one)
    return [one for one in stored if one not in staying], staying


def _is_sound(store: CheckpointStore, name: str) -> bool:
    try:
        with store.named(name):
            return True
    except CheckpointError:
        return False


def _checkpoint_removals(
    trial: str, store: CheckpointStore, reference: Reference, going: list[StoredCheckpoint]
) -> Iterator[Removal]:
    for one in going:
        if not one.complete:
            why = "not complete: its writer died"
        else:
            why = "older, or not what its manifest lists" if reference.keep else reference.reader

        def carry_out(name: str = one.name) -> None:
            store.remove(name)

        yield Removal(f"trials/{trial}/{one.name}", one.num_bytes, why, carry_out)


def _file_removals(paths: StudyPaths) -> Iterator[Removal]:
    for path, why in leftovers(paths):
        # A link is removed as a link; a folder that is reached through one is not ours.
        if not path.parent.resolve().is_relative_to(paths.folder.resolve()):
            continue
        is_folder = path.is_dir() and not path.is_symlink()
        inside = [one for one in path.rglob("*") if not one.is_dir()] if is_folder else [path]
        num_bytes = sum(one.lstat().st_size for one in inside)

        def carry_out(path: Path = path, is_folder: bool = is_folder) -> None:
            shutil.rmtree(path) if is_folder else path.unlink(missing_ok=True)

        yield Removal(path.relative_to(paths.folder).as_posix(), num_bytes, why, carry_out)


def _carry_out(removal: Removal, storage: TrialStorage) -> None:
    try:
        removal.carry_out()
    except FileNotFoundError:
        return
    except OSError as error:
        raise AIBError(
            f"{removal.what} of {storage.place} could not be removed ({error}); what was listed before it is gone. "
            "Set that right and run aib gc again."
        ) from error
