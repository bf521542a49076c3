"""Writes and reads checkpoint folders that are whole or not there.

A checkpoint is written aside, synced, listed in a manifest with SHA-256, then renamed. It holds safetensors and JSON
only, so that reading one can execute nothing.
"""

import errno
import hashlib
import json
import logging
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from trainables.checkpoints.checkpoint_name import PREFIX, Age, attempt_age, attempt_name, state_name
from trainables.errors import CheckpointError, StorageError
from trainables.runtime.atomic_file import folder_beside, sync
from trainables.runtime.progress import advance

if TYPE_CHECKING:
    # A process that only passes checkpoints on starts in half the time without torch.
    import torch

MANIFEST = "manifest.json"
MANIFEST_BYTES = 2**20
"""No manifest is larger."""
_STATE = "state.json"
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")

logger = logging.getLogger(__name__)


def checkpoints_folder(trial_folder: Path) -> Path:
    """The folder of a trial's checkpoints."""
    return trial_folder / "checkpoints"


def checkpoint_folder(trial_folder: Path, epoch: int, step: int = 0) -> Path:
    """The folder of a state's first checkpoint; `write_checkpoint` numbers further ones of the same state."""
    return checkpoints_folder(trial_folder) / state_name(epoch, step)


def write_checkpoint(
    folder: Path, tensors: Mapping[str, Mapping[str, "torch.Tensor"]], state: Mapping[str, Any]
) -> Path:
    """Writes `state.json` and a `NAME.safetensors` for each named set of tensors; returns the folder that holds them.

    Overwrites nothing: beside an existing folder the new one becomes its next attempt, `epoch_000007.002`, so that
    there is a whole copy at every moment. After the function returns, the checkpoint survives a crash of the machine.
    Raises StorageError where the storage refuses it, and then leaves nothing behind.
    """
    from safetensors.torch import save_file

    try:
        with folder_beside(folder) as aside:
            for name, named in tensors.items():
                save_file({k: t.detach().cpu().contiguous() for k, t in named.items()}, aside / f"{name}.safetensors")
                advance()
            (aside / _STATE).write_text(json.dumps(state, indent=1, allow_nan=False), encoding="utf-8")
            write_manifest(aside)
            final = _rename(aside, folder)
            sync(folder.parent)
    except (OSError, SafetensorError) as error:
        raise StorageError.unwritable(f"the checkpoint {folder}", error) from None
    return final


def _rename(aside: Path, folder: Path) -> Path:
    """Renames to the state's next attempt. If another writer, believed dead, was faster, to the attempt after it."""
    attempts = [age.attempt for other, age in _stored(folder.parent) if other.name.split(".")[0] == folder.name]
    attempt = max(attempts, default=0) + 1
    while True:
        final = folder.with_name(attempt_name(folder.name, attempt))
        try:
            return aside.rename(final)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            attempt += 1


def write_manifest(folder: Path) -> None:
    """Syncs every file of a folder and writes its manifest last: a folder without one is incomplete."""
    files = sorted(p for p in folder.iterdir() if p.name != MANIFEST)
    listed = {p.name: {"bytes": p.stat().st_size, "sha256": _sha256(p)} for p in files}
    (folder / MANIFEST).write_text(json.dumps({"files": listed}, indent=1), encoding="utf-8")
    for path in [*files, folder / MANIFEST, folder]:
        sync(path)
        advance()


def verify(folder: Path) -> frozenset[str]:
    """Checks every listed file and returns their names.

    Raises CheckpointError where one is missing, or has another size or digest than the manifest says.
    """
    listed = _listed(folder)
    for name, facts in listed.items():
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise CheckpointError(f"{path} is missing or no plain file; use another copy.")
        if (path.stat().st_size, _sha256(path)) != facts:
            raise CheckpointError(f"{path} is not what {MANIFEST} lists (size or SHA-256 differ); use another copy.")
    return frozenset(listed)


def listed_files(folder: Path) -> frozenset[str]:
    """Names of the files that the manifest lists, plain names within the folder; CheckpointError without one."""
    return frozenset(_listed(folder))


def _listed(folder: Path) -> dict[str, tuple[int, str]]:
    path = folder / MANIFEST
    try:
        if path.is_symlink() or not path.is_file():
            raise CheckpointError(f"{folder} has no {MANIFEST}: it is incomplete; use another copy.")
        if path.stat().st_size > MANIFEST_BYTES:
            raise ValueError(f"it has more than {MANIFEST_BYTES:,} bytes")
        manifest = json.loads(path.read_text(encoding="utf-8"))
        listed = {str(name): (facts["bytes"], facts["sha256"]) for name, facts in manifest["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); use another copy.") from None
    for name in listed:
        if not _PLAIN.fullmatch(name) or name == MANIFEST:
            raise CheckpointError(f"{path} lists {name[:80]!r}, no plain file name; use another copy.")
    return listed


def read_state(folder: Path) -> dict[str, Any]:
    """The JSON part: epoch, history, config, data digest, fingerprint."""
    state: dict[str, Any] = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    return state


def read_tensors(folder: Path, name: str) -> "dict[str, torch.Tensor]":
    """One named set of tensors, on the CPU."""
    from safetensors.torch import load_file

    tensors: dict[str, torch.Tensor] = load_file(folder / f"{name}.safetensors")
    return tensors


def has_tensors(folder: Path, name: str) -> bool:
    return (folder / f"{name}.safetensors").is_file()


def read_history(folder: Path) -> list[dict[str, float]]:
    """The metrics of every epoch up to the checkpoint's own."""
    history: list[dict[str, float]] = read_state(folder)["history"]
    return history


def latest_checkpoint(trial_folder: Path) -> Path | None:
    """The newest checkpoint that matches its manifest, or None; skips altered ones."""
    return next((folder for folder, _ in _newest_first(trial_folder) if _is_whole(folder)), None)


def prune_checkpoints(trial_folder: Path, keep: int = 2) -> None:
    """Keeps one checkpoint, the newest whole one, of each of the newest `keep` states that have one.

    Removes all others: older ones, damaged ones, and the leftovers of interrupted writes.
    """
    kept: set[tuple[int, int]] = set()
    for folder, age in _newest_first(trial_folder):
        # Each is read again: a checkpoint damaged since it was written must not replace the last good one.
        if len(kept) < keep and age[:2] not in kept and _is_whole(folder):
            kept.add(age[:2])
        else:
            shutil.rmtree(folder, ignore_errors=True)
    for left in checkpoints_folder(trial_folder).glob(f".{PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)


def _newest_first(trial_folder: Path) -> list[tuple[Path, Age]]:
    return sorted(_stored(checkpoints_folder(trial_folder)), key=lambda found: found[1], reverse=True)


def _stored(folder: Path) -> list[tuple[Path, Age]]:
    return [(path, age) for path in folder.glob(f"{PREFIX}*") if (age := attempt_age(path.name)) is not None]


def _is_whole(folder: Path) -> bool:
    try:
        verify(folder)
    except (CheckpointError, FileNotFoundError) as error:
        # FileNotFoundError where another process removes it meanwhile.
        logger.warning("skips a checkpoint and uses the one before: %s", error)
        return False
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
