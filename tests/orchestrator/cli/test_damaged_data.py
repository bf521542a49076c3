"""One flipped bit in prepared images: found, and named, before anything is searched, trained or evaluated on them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.checks.data import check_data
from orchestrator.options import RunOptions
from orchestrator.workflow.search import run_study
from orchestrator.workflow.train import run_single
from search_spaces.schema import SearchSpec
from tests.support.tiny_trial import tiny_trial
from trainables.data.arrow_store import open_store
from trainables.errors import DataError
from trainables.evaluation.dataset import evaluate_model, validation_error_pct
from trainables.export import export_model, load_exported
from trainables.models.build import build_model
from trainables.run import main

QUIET = Console(quiet=True)
OCCLUDING = "digits-again"


def spec() -> SearchSpec:
    trial = {key: value for key, value in tiny_trial(epochs=1).to_dict().items() if value is not None}
    trial["evaluation.occluder_dataset"] = OCCLUDING
    return SearchSpec.from_dict({"name": "s", "trial": trial, "space": {}, "trials": 1})


@pytest.fixture
def root(digits_root: Path, tmp_path: Path) -> Path:
    """Two prepared data sets: images to train on, and images that occlude."""
    data = tmp_path / "runs" / "data"
    shutil.copytree(digits_root / "cluttered-digits-16", data / "cluttered-digits-16")
    again = shutil.copytree(digits_root / "cluttered-digits-16", data / f"{OCCLUDING}-16")
    meta = again / "meta.json"
    meta.write_text(meta.read_text().replace('"cluttered-digits"', f'"{OCCLUDING}"'))
    return tmp_path / "runs"


def flip(root: Path, name: str, split: str) -> None:
    """One bit of the middle of a split's images."""
    (path,) = (root / "data" / f"{name}-16").glob(f"{split}-*.arrow")
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))
    open_store(root / "data", name, 16)  # what only maps the file sees nothing


def evaluate(root: Path) -> None:
    evaluate_model(load_exported(root / "export"), root / "data", None, with_interpretability=True)


def options(root: Path) -> RunOptions:
    return RunOptions(root=root)


@pytest.mark.parametrize(
    ("name", "split", "begin"),
    [
        (
            "cluttered-digits",
            "train",
            lambda root: run_study(spec(), options(root), resume=False, console=QUIET),
        ),
        (
            "cluttered-digits",
            "test",
            lambda root: run_single(spec(), options(root), resume=False, console=QUIET),
        ),
        (OCCLUDING, "test", lambda root: check_data(spec(), root / "data", QUIET)),
        ("cluttered-digits", "train", evaluate),
        (OCCLUDING, "test", evaluate),
        ("cluttered-digits", "train", lambda root: validation_error_pct(root / "export", root / "data")),
    ],
    ids=["search", "train", "occluders", "evaluate", "evaluate occluders", "gate"],
)
def test_a_flipped_bit_is_found_before_the_work_begins(
    root: Path, name: str, split: str, begin: Callable[[Path], object]
) -> None:
    config = tiny_trial(evaluation__occluder_dataset=OCCLUDING)
    classes = tuple("0123456789")
    export_model(root / "export", build_model(config, 10).state_dict(), config, classes, {}, {}, "# card")
    flip(root, name, split)
    with pytest.raises(
        DataError, match=rf"{name}-16 is damaged: its bytes no longer give the digest.*prepare it again"
    ):
        begin(root)
    assert not (root / "studies").exists()
    assert not (root / "mlflow.db").exists()


def test_a_trial_without_ray_checks_its_images_too(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(root, "cluttered-digits", "test")
    words = ["dataset=cluttered-digits", "data.image_size=16", "--data-root", str(root / "data")]
    assert main([*words, "--out", str(root / "trial")]) == 1
    assert "is damaged" in capsys.readouterr().err
    assert not (root / "trial").exists()
