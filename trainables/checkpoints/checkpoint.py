"""Checkpoints that are whole or not there: written aside, synced, listed in a manifest with SHA-256, then renamed.

Safetensors and JSON only, so that reading one can execute nothing.
"""

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from safetensors import SafetensorError

from trainables.errors import CheckpointError, StorageError
from trainables.runtime.progress import advance

if TYPE_CHECKING:
    # Processes that only hand checkpoints on start in half the time without it.
    import torch

MANIFEST = "manifest.json"
MANIFEST_BYTES = 2**20
"""More than any manifest has."""
_STATE = "state.json"
_NAME = re.compile(r"epoch_(\d{6})(?:_step_(\d{6,}))?(?:\.(\d{3,}))?")
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")

logger = logging.getLogger(__name__)


class Age(NamedTuple):
    """What a checkpoint is of; the greater, the newer."""

    epoch: int
    step: int
    """Of the epoch after `epoch`; 0: the state between two epochs."""
    attempt: int


def checkpoint_name(epoch: int, step: int = 0) -> str:
    """Name of the state after `step` steps of the epoch after `epoch`."""
    return f"epoch_{epoch:06d}" + (f"_step_{step:06d}" if step else "")


def checkpoint_folder(trial_folder: Path, epoch: int, step: int = 0) -> Path:
    """Where a state's first checkpoint goes; `write_checkpoint` numbers further ones of the same state."""
    return trial_folder / "checkpoints" / checkpoint_name(epoch, step)


def write_checkpoint(
    folder: Path, tensors: Mapping[str, Mapping[str, "torch.Tensor"]], state: Mapping[str, Any]
) -> Path:
    """Writes `NAME.safetensors` for each named set of tensors and `state.json`, and returns where they are.

    Nothing is overwritten: beside an existing folder the new one is its next attempt, `epoch_000007.002`, so that
    there is no moment without a whole copy. After it returns the checkpoint survives a crash of the machine. Raises
    StorageError where the storage does not take it; nothing is left of it then.
    """
    from safetensors.torch import save_file

    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:16]}")
    try:
        aside.mkdir(parents=True)
        for name, named in tensors.items():
            save_file({k: t.detach().cpu().contiguous() for k, t in named.items()}, aside / f"{name}.safetensors")
            advance()
        (aside / _STATE).write_text(json.dumps(state, indent=1, allow_nan=False), encoding="utf-8")
        seal(aside)
        final = _rename(aside, folder)
        _sync(folder.parent)
    except (OSError, SafetensorError) as error:
        raise StorageError.at(f"the checkpoint {folder}", error) from None
    finally:
        # After a failure; what was renamed is no longer there.
        shutil.rmtree(aside, ignore_errors=True)
    return final


def _rename(aside: Path, folder: Path) -> Path:
    """To the state's next attempt, or the one after where another writer, taken for dead, was faster."""
    attempts = [_age(other).attempt for other in _stored(folder.parent) if other.name.split(".")[0] == folder.name]
    attempt = max(attempts, default=0) + 1
    while True:
        final = folder if attempt == 1 else folder.with_name(f"{folder.name}.{attempt:03d}")
        try:
            return aside.rename(final)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            attempt += 1


def seal(folder: Path) -> None:
    """Syncs every file of a folder and writes its manifest last: a folder without one is incomplete."""
    files = sorted(p for p in folder.iterdir() if p.name != MANIFEST)
    listed = {p.name: {"bytes": p.stat().st_size, "sha256": _sha256(p)} for p in files}
    (folder / MANIFEST).write_text(json.dumps({"files": listed}, indent=1), encoding="utf-8")
    for path in [*files, folder / MANIFEST, folder]:
        _sync(path)
        advance()


def verify(folder: Path) -> frozenset[str]:
    """Names of the files that the manifest lists.

    Raises CheckpointError unless each of them is there, of the size and with the digest that the manifest gives.
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
    """The newest checkpoint that matches its manifest, or None; an altered one is passed over for the one before."""
    return next((folder for folder in _newest_first(trial_folder) if _is_whole(folder)), None)


def prune_checkpoints(trial_folder: Path, keep: int = 2) -> None:
    """Keeps the newest whole checkpoint of each of the newest `keep` states that have one, and removes all others,
    damaged ones and what interrupted writes left aside."""
    kept: set[tuple[int, int]] = set()
    for folder in _newest_first(trial_folder):
        epoch, step, _ = _age(folder)
        # Each is read again: one that was damaged since it was written must not cost the last good one its place.
        if len(kept) < keep and (epoch, step) not in kept and _is_whole(folder):
            kept.add((epoch, step))
        else:
            shutil.rmtree(folder, ignore_errors=True)
    for left in (trial_folder / "checkpoints").glob(".epoch_*"):
        shutil.rmtree(left, ignore_errors=True)


def _newest_first(trial_folder: Path) -> list[Path]:
    return sorted(_stored(trial_folder / "checkpoints"), key=_age, reverse=True)


def _stored(folder: Path) -> list[Path]:
    return [path for path in folder.glob("epoch_*") if _NAME.fullmatch(path.name)]


def _age(folder: Path) -> Age:
    matched = _NAME.fullmatch(folder.name)
    assert matched is not None
    return Age(int(matched[1]), int(matched[2] or 0), int(matched[3] or 1))


def _is_whole(folder: Path) -> bool:
    try:
        verify(folder)
    except (CheckpointError, FileNotFoundError) as error:
        # The second where another process clears it away meanwhile.
        logger.warning("a checkpoint is passed over for the one before: %s", error)
        return False
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
