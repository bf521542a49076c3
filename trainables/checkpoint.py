"""Checkpoints that are whole or not there: written aside, synced, listed in a manifest with SHA-256, then renamed.

Safetensors and JSON only, so that reading one can execute nothing.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from trainables.errors import CheckpointError
from trainables.progress import advance

MANIFEST = "manifest.json"
_STATE = "state.json"


def checkpoint_name(epoch: int, step: int = 0) -> str:
    """Name of the state after `step` steps of the epoch after `epoch`; in the order of names, the newest is last."""
    return f"epoch_{epoch:06d}" + (f"_step_{step:06d}" if step else "")


def checkpoint_folder(trial_folder: Path, epoch: int, step: int = 0) -> Path:
    return trial_folder / "checkpoints" / checkpoint_name(epoch, step)


def write_checkpoint(folder: Path, tensors: Mapping[str, Mapping[str, torch.Tensor]], state: Mapping[str, Any]) -> Path:
    """Writes `NAME.safetensors` for each named set of tensors and `state.json`; an existing folder is replaced.

    After it returns the checkpoint survives a crash of the machine.
    """
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    for name, named in tensors.items():
        save_file({k: t.detach().cpu().contiguous() for k, t in named.items()}, aside / f"{name}.safetensors")
        advance()
    (aside / _STATE).write_text(json.dumps(state, indent=1, allow_nan=False), encoding="utf-8")
    seal(aside)
    if folder.exists():
        shutil.rmtree(folder)
    aside.rename(folder)
    _sync(folder.parent)
    return folder


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
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        listed = {str(name): (facts["bytes"], facts["sha256"]) for name, facts in manifest["files"].items()}
    except FileNotFoundError:
        raise CheckpointError(f"{folder} has no {MANIFEST}: it is incomplete; use another copy.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder / MANIFEST} cannot be read ({error}); use another copy.") from None
    for name in listed:
        if Path(name).name != name:
            raise CheckpointError(f"{folder / MANIFEST} lists {name!r}, no plain file name; use another copy.")
    return listed


def read_state(folder: Path) -> dict[str, Any]:
    """The JSON part: epoch, history, config, data digest, fingerprint."""
    state: dict[str, Any] = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    return state


def read_tensors(folder: Path, name: str) -> dict[str, torch.Tensor]:
    """One named set of tensors, on the CPU."""
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
    for folder in sorted((trial_folder / "checkpoints").glob("epoch_*"), reverse=True):
        try:
            verify(folder)
        except CheckpointError:
            continue
        return folder
    return None


def prune_checkpoints(trial_folder: Path, keep: int = 2) -> None:
    """Removes all but the newest `keep`, and what an interrupted write left aside."""
    folders = sorted((trial_folder / "checkpoints").glob("epoch_*"))
    for folder in [*folders[:-keep], *(trial_folder / "checkpoints").glob(".epoch_*")]:
        shutil.rmtree(folder, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
