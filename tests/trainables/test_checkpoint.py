"""Checkpoints are whole or passed over."""

import json
from pathlib import Path

import pytest
import torch

from trainables import checkpoint
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


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "no manifest", "torn manifest", "symlink"])
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
        case "symlink":
            weights.unlink()
            weights.symlink_to(good / "model.safetensors")
    with pytest.raises(CheckpointError):
        checkpoint.verify(bad)
    assert checkpoint.latest_checkpoint(tmp_path) == good


def test_verify_refuses_a_manifest_that_points_elsewhere(tmp_path: Path) -> None:
    folder = write(tmp_path, 1, 1.0)
    (tmp_path / "elsewhere").write_text("x")
    listed = json.loads((folder / checkpoint.MANIFEST).read_text())
    listed["files"]["../../elsewhere"] = listed["files"].pop("state.json")
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


def test_a_state_with_nan_is_refused_before_anything_is_renamed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        checkpoint.write_checkpoint(tmp_path / "epoch_000001", {}, {"loss": float("nan")})
    assert not (tmp_path / "epoch_000001").exists()
