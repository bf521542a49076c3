"""`aib data` as it is typed: bad rows listed, official folders found, what each data set takes."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.app import main
from orchestrator.cli.data_verbs import SKIPPED_SHOWN
from tests.support.images import encode, parquet_folder, pixels, write_columns, write_parquet


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    code = 0
    try:
        main(["data", *arguments])
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def facts(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    code, out, err = run([*arguments, "--json"], capsys)
    assert code == 0, err
    return json.loads(out), err


@pytest.fixture
def partly_bad(tmp_path: Path) -> Path:
    """Parquet files with 25 broken images among 40."""
    folder = parquet_folder(tmp_path / "in", names=["a", "b"])
    images: list[bytes | None] = [encode(image) for image in pixels(15)]
    write_parquet(folder / "train.parquet", images + [b"broken"] * 25, [0, 1] * 20, ["a", "b"])
    return folder


def test_bad_rows_are_refused_by_default(tmp_path: Path, partly_bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "runs"
    code, _, err = run(["prepare", "pets", "--from", str(partly_bad), "--root", str(root)], capsys)
    assert code != 0
    assert "row 15" in err
    assert "--skip-bad" in err
    assert not list(root.rglob("*.arrow"))


def test_bad_rows_are_skipped_counted_and_listed(
    tmp_path: Path, partly_bad: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = ["--root", str(tmp_path / "runs")]
    told, err = facts(["prepare", "pets", "--from", str(partly_bad), "--skip-bad", *root], capsys)
    assert told["num_images"] == {"train": 15, "test": 10}
    assert told["num_skipped"] == len(told["skipped"]) == 25
    assert "train.parquet, row 15: the image cannot be decoded" in told["skipped"][0]
    assert err.count("skipped ") == SKIPPED_SHOWN
    assert "and 5 more" in err
    shown, _ = facts(["show", "pets", *root], capsys)
    assert shown["skipped"] == told["skipped"]


def test_list_says_what_each_data_set_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = ["--root", str(tmp_path / "runs")]
    facts(["prepare", "pets", "--from", str(parquet_folder(tmp_path / "in")), *root], capsys)
    rows = {row["dataset"]: row for row in facts(["list", *root], capsys)[0]["datasets"]}
    for name, file in {
        "cifar10": "cifar-10-python.tar.gz",
        "cifar100": "cifar-100-python.tar.gz",
        "svhn": "extra_32x32.mat",
        "stl10": "stl10_binary.tar.gz",
        "cub200": "CUB_200_2011.tgz",
        "pets": "train.parquet",
    }.items():
        assert file in rows[name]["accepts"]
    _, out, _ = run(["list", *root], capsys)
    assert "CUB_200_2011.tgz" in out


def test_extra_for_another_data_set_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["prepare", "cifar10", "--extra", "--from", str(tmp_path), "--root", str(tmp_path / "runs")]
    code, _, err = run(arguments, capsys)
    assert code == 2
    assert "--extra" in err


@pytest.mark.parametrize("arguments", [["prepare", "cifar10", "--from", "."], ["show", "cifar10"]])
@pytest.mark.parametrize("size", ["0", "-3", "513"])
def test_a_size_that_no_data_set_has_is_named_with_those_it_may_have(
    arguments: list[str], size: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run([*arguments, "--image-size", size, "--root", str(tmp_path / "runs")], capsys)
    assert (code, err) == (2, f"aib: --image-size is {size} px; allowed: 8 to 512.\n")


def test_classes_may_be_called_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also what would be a path, a mark-up or too long for a file's name."""
    root, names = ["--root", str(tmp_path / "runs")], ["n/a", ":cat:" + "x" * 300, "[red]"]
    source = parquet_folder(tmp_path / "in", names=names)
    facts(["prepare", "pets", "--from", str(source), *root], capsys)
    shown, _ = facts(["show", "pets", "--save", str(tmp_path / "shown"), *root], capsys)
    assert shown["class_names"] == names
    assert {Path(path).parent for path in shown["saved"]} == {tmp_path / "shown"}
    assert all(Path(path).is_file() for path in shown["saved"])
    assert {Path(path).stem[:15] for path in shown["saved"]} >= {"pets-0000-n-a"}
    _, out, _ = run(["show", "pets", *root], capsys)
    assert f"classes: {', '.join(names)}" in out


def test_what_was_left_out_or_guessed_is_said_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, folder = ["--root", str(tmp_path / "runs")], parquet_folder(tmp_path / "in")
    (folder / "extra.parquet").touch()
    code, out, err = run(["prepare", "pets", "--from", str(folder), *root], capsys)
    notes = [
        "Parquet files that were not read: extra.parquet",
        "the files name no classes, so the classes are called by their numbers: 0, 1",
    ]
    assert (code, err) == (0, "".join(f"note: {note}\n" for note in notes))
    assert out.startswith("pets: 20 train, 10 test, 2 classes, digest ")
    _, out, _ = run(["show", "pets", *root], capsys)
    assert [line for line in out.splitlines() if line.startswith("note: ")] == [f"note: {note}" for note in notes]
    told, err = facts(["prepare", "pets", "--from", str(folder), *root], capsys)
    assert told["notes"] == facts(["show", "pets", *root], capsys)[0]["notes"] == notes
    assert err.count("note: ") == 2


def test_labels_from_1_are_refused_with_the_option_that_takes_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "test"):
        images = [encode(image) for image in pixels(4, seed=len(split))]
        write_columns(tmp_path / f"in/{split}.parquet", image=images, label=[1, 2, 3, 1])
    arguments = ["prepare", "ids", "--from", str(tmp_path / "in"), "--root", str(tmp_path / "runs")]
    code, _, err = run(arguments, capsys)
    assert code == 3
    assert "--relabel" in err
    told, _ = facts([*arguments, "--relabel"], capsys)
    assert told["num_classes"] == 3
    shown, _ = facts(["show", "ids", "--root", str(tmp_path / "runs")], capsys)
    assert shown["class_names"] == ["1", "2", "3"]


def test_another_split_serves_as_test_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = parquet_folder(tmp_path / "in")
    (folder / "test.parquet").rename(folder / "validation.parquet")
    arguments = ["prepare", "pets", "--from", str(folder), "--root", str(tmp_path / "runs")]
    code, _, err = run(arguments, capsys)
    assert code == 3
    assert "--test-split validation" in err
    assert facts([*arguments, "--test-split", "validation"], capsys)[0]["num_images"] == {"train": 20, "test": 10}
    assert run([*arguments, "--test-split", "train"], capsys)[0] == 2


def test_images_per_class_count_classes_without_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, folder = ["--root", str(tmp_path / "runs")], parquet_folder(tmp_path / "in", names=["a", "b", "c"])
    facts(["prepare", "pets", "--from", str(folder), *root], capsys)
    shown, _ = facts(["show", "pets", *root], capsys)
    assert shown["splits"]["train"]["per_class"] == [10, 10, 0]
    assert "classes without training images: 1 of 3 ('c')" in shown["notes"]
