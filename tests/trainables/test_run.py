"""`python -m trainables.run`: stopped and continued, and under torchrun."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.full_disk import small_disk
from tests.support.tiny_trial import tiny_trial, without_timings
from trainables.checkpoints.checkpoint import latest_checkpoint, read_tensors
from trainables.errors import ConfigError
from trainables.run import device_of, main

SETTINGS = [f"{key}={json.dumps(value)}" for key, value in tiny_trial(epochs=2).to_dict().items()]


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.slow
def test_a_trial_stopped_after_every_visit_ends_as_one_that_was_not(
    digits_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--data-root", str(digits_root)]
    assert main([*SETTINGS, *where, "--out", str(tmp_path / "whole")]) == 0
    whole = lines(capsys.readouterr().out)
    visits = []
    for _ in range(2):
        assert main([*SETTINGS, *where, "--out", str(tmp_path / "parts"), "--minutes", "0"]) == 0
        visits.append(lines(capsys.readouterr().out))
    assert visits[0][-1] == {"stopped_after_epoch": 1, "epochs": 2}
    epochs = [row for visit in visits for row in visit if "epoch" in row]
    assert without_timings(epochs) == without_timings(whole[:2])
    assert "final_test_error_pct" in epochs[-1]
    ends = [latest_checkpoint(tmp_path / name) for name in ("whole", "parts")]
    first, second = (read_tensors(end, "model") for end in ends if end is not None)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert whole[-1]["done"] == str(ends[0])
    assert main([*SETTINGS, *where, "--out", str(tmp_path / "parts")]) == 0
    assert [list(row) for row in lines(capsys.readouterr().out)] == [["done", "best_epoch"]], "nothing is left to do"


@pytest.mark.slow
def test_a_trial_whose_disk_was_full_goes_on_where_it_left_and_ends_the_same(
    digits_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--data-root", str(digits_root)]
    assert main([*SETTINGS, *where, "--out", str(tmp_path / "whole")]) == 0
    whole = lines(capsys.readouterr().out)
    with small_disk("limit", tmp_path / "disk") as disk:
        command = [*SETTINGS, *where, "--out", str(disk.path / "trial")]
        assert main([*command, "--minutes", "0"]) == 0
        capsys.readouterr()
        with disk.full():
            assert main(command) == 1
        failed = capsys.readouterr()
        assert failed.out == "", "an epoch that is not stored is not reported either"
        assert "epoch_000002 cannot be written" in failed.err
        assert main(command) == 0
        assert without_timings(lines(capsys.readouterr().out)[:1]) == without_timings(whole[1:2])


def test_a_trial_stops_after_a_given_epoch_and_saves_every_so_many(
    digits_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = [*SETTINGS, "epochs=3", "--data-root", str(digits_root), "--out", str(tmp_path / "out")]
    where += ["--save-every", "5"]
    checkpoints = tmp_path / "out" / "checkpoints"
    assert main([*where, "--until-epoch", "2"]) == 0
    assert lines(capsys.readouterr().out)[-1] == {"stopped_after_epoch": 2, "epochs": 3}
    assert [folder.name for folder in checkpoints.iterdir()] == ["epoch_000002"], "no epoch before the stop is saved"
    assert main([*where, "--until-epoch", "2"]) == 0
    assert lines(capsys.readouterr().out) == [{"stopped_after_epoch": 2, "epochs": 3}], "it is there already"
    assert main(where) == 0
    assert [row.get("epoch") for row in lines(capsys.readouterr().out)] == [3, None]


def test_a_trial_that_diverges_says_so_on_stdout(
    digits_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--data-root", str(digits_root), "--out", str(tmp_path / "out")]
    assert main([*SETTINGS, "bottleneck.beta=1e30", *where]) == 1
    assert "lower" in lines(capsys.readouterr().out)[-1]["diverged"]


@pytest.mark.slow
def test_two_ranks_of_torchrun_train_one_trial(digits_root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
    command += ["trainables.run", *SETTINGS, "--data-root", str(digits_root), "--out", str(tmp_path / "pair")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert [row.get("epoch") for row in lines(done.stdout)] == [1, 2, None]
    end = latest_checkpoint(tmp_path / "pair")
    assert end is not None
    assert json.loads((end / "state.json").read_text())["fingerprint"]["world_size"] == 2


def test_every_rank_has_a_gpu_of_its_own_or_is_told_how_many_there_are() -> None:
    assert [device_of(rank, 2, 2) for rank in range(2)] == [torch.device("cuda", 0), torch.device("cuda", 1)]
    assert device_of(1, 2, 0) == torch.device("cpu")
    for rank in range(3):
        with pytest.raises(ConfigError, match=r"3 ranks on a machine with 2 GPUs; allowed.*--nproc-per-node=2"):
            device_of(rank, 3, 2)


@pytest.mark.parametrize(
    ("setting", "named"),
    [("optim.learn=1", "optim.learn"), ("epochs", "KEY=VALUE"), ("epochs=none", "a whole number")],
)
def test_a_wrong_setting_is_named(setting: str, named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([setting, "--out", str(tmp_path / "out"), "--data-root", str(tmp_path)]) == 2
    assert named in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_missing_data_is_an_error_and_the_embedded_set_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--data-root", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert main(["dataset=svhn", *where]) == 1
    assert "aib data prepare svhn" in capsys.readouterr().err
    assert main([*SETTINGS, "epochs=1", *where]) == 0
    assert (tmp_path / "data" / "cluttered-digits-16").is_dir()
