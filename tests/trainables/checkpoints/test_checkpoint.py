"""A checkpoint is whole, or it is skipped."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from trainables.checkpoints import checkpoint
from trainables.errors import CheckpointError


def write(trial: Path, epoch: int, value: float) -> Path:
    state = {"epoch": epoch, "history": [{"epoch": float(e), "val_error_pct": 9.0} for e in range(1, epoch + 1)]}
    return checkpoint.write_checkpoint(
        checkpoint.checkpoint_folder(trial, epoch), {"model": {"w": torch.full((4,), value)}}, state
    )


def test_checkpoint_round_trip_is_exact(tmp_path: Path) -> None:
    folder = write(tmp_path, 3, 0.1)
    checkpoint.verify(folder)
    assert torch.equal(checkpoint.read_tensors(folder, "model")["w"], torch.full((4,), 0.1))
    assert [row["epoch"] for row in checkpoint.read_history(folder)] == [1, 2, 3]


@pytest.mark.parametrize(
    "damage",
    ["flip", "truncate", "remove", "no manifest", "torn manifest", "symlink", "deep manifest", "huge manifest", "pipe"],
)
def test_latest_checkpoint_passes_over_a_damaged_one(tmp_path: Path, damage: str) -> None:
    good, bad = write(tmp_path, 1, 1.0), write(tmp_path, 2, 2.0)
    weights, manifest = bad / "model.safetensors", bad / checkpoint.MANIFEST
    match damage:
        case "flip":
            content = bytearray(weights.read_bytes())
            content[-1] ^= 1
            weights.write_bytes(content)
        case "truncate":
            weights.write_bytes(weights.read_bytes()[:-3])
        case "remove":
            weights.unlink()
        case "no manifest":
            manifest.unlink()
        case "torn manifest":
            manifest.write_text(manifest.read_text()[:20])
        case "deep manifest":
            manifest.write_text("[" * 100_000)
        case "huge manifest":
            os.truncate(manifest, 2 * checkpoint.MANIFEST_BYTES)
        case "pipe":
            manifest.unlink()
            os.mkfifo(manifest)
        case "symlink":
            weights.unlink()
            weights.symlink_to(good / "model.safetensors")
    with pytest.raises(CheckpointError):
        checkpoint.verify(bad)
    assert checkpoint.latest_checkpoint(tmp_path) == good


@pytest.mark.parametrize(
    "name", ["../../elsewhere", "/etc/hostname", "..", ".", "", "a\0b", "a" * 300, "manifest.json"]
)
def test_verify_refuses_a_manifest_that_points_elsewhere(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path, 1, 1.0)
    (tmp_path / "elsewhere").write_text("x")
    listed = json.loads((folder / checkpoint.MANIFEST).read_text())
    listed["files"][name] = listed["files"].pop("state.json")
    (folder / checkpoint.MANIFEST).write_text(json.dumps(listed))
    with pytest.raises(CheckpointError, match="no plain file"):
        checkpoint.verify(folder)


def test_prune_keeps_the_newest_and_clears_what_a_kill_left(tmp_path: Path) -> None:
    for epoch in range(1, 5):
        write(tmp_path, epoch, float(epoch))
    left = tmp_path / "checkpoints" / ".epoch_000005.4711"
    left.mkdir()
    checkpoint.prune_checkpoints(tmp_path, keep=2)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["epoch_000003", "epoch_000004"]


def test_an_epoch_written_again_is_added_before_the_former_copy_goes(tmp_path: Path) -> None:
    first, other = write(tmp_path, 1, 1.0), tmp_path / "other"
    again = [write(tmp_path, 1, 2.0), write(tmp_path, 1, 3.0)]
    checkpoint.verify(first)
    assert checkpoint.latest_checkpoint(tmp_path) == again[-1]
    checkpoint.prune_checkpoints(tmp_path)
    assert list((tmp_path / "checkpoints").iterdir()) == [again[-1]]
    # The 1000th attempt is newer than the 999th; the next epoch is newer than both.
    for name in ("epoch_000001.999", "epoch_000001.1000"):
        shutil.copytree(again[-1], other / "checkpoints" / name)
    assert write(other, 1, 4.0).name == "epoch_000001.1001"
    newest = write(other, 2, 5.0)
    assert checkpoint.latest_checkpoint(other) == newest


@pytest.mark.parametrize("damaged", [(4,), (3, 4), (5, 4)])
def test_pruning_never_counts_a_damaged_checkpoint(tmp_path: Path, damaged: tuple[int, ...]) -> None:
    folders = {epoch: write(tmp_path, epoch, float(epoch)) for epoch in range(1, 6)}
    for epoch in damaged:
        os.truncate(folders[epoch] / "model.safetensors", 20)
    checkpoint.prune_checkpoints(tmp_path, keep=2)
    whole = [epoch for epoch in (5, 4, 3, 2, 1) if epoch not in damaged][:2]
    assert sorted((tmp_path / "checkpoints").iterdir()) == [folders[epoch] for epoch in sorted(whole)]
    checkpoint.verify(folders[whole[1]])


def test_a_state_with_nan_is_refused_before_anything_is_renamed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        checkpoint.write_checkpoint(tmp_path / "epoch_000001", {}, {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []
