"""Preparing and reading back: exact bytes, nothing half finished, damage detected."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.support.images import encode, parquet_folder, pixels, real_data, write_parquet
from trainables.data.arrow_store import list_prepared, open_store, read_meta
from trainables.data.prepare import prepare
from trainables.data.sources.bad_rows import BadRows
from trainables.data.sources.image_source import Choices
from trainables.errors import ConfigError, DataError


def test_prepared_images_equal_the_encoded_ones(tmp_path: Path) -> None:
    folder = parquet_folder(tmp_path / "in", names=["cat", "dog"])
    told: list[tuple[int, int | None]] = []
    store = prepare("pets", tmp_path / "data", 8, folder, lambda done, total: told.append((done, total)))
    for seed, split in enumerate(("train", "test")):
        assert np.array_equal(store.splits[split].images_NHWC, pixels((20, 10)[seed], 8, seed))
        assert store.splits[split].labels_N.tolist() == [i % 2 for i in range((20, 10)[seed])]
    assert store.class_names == ("cat", "dog")
    assert told[-1] == (30, 30)
    again = open_store(tmp_path / "data", "pets", 8, verify=True)
    assert again.digest == store.digest
    assert [(meta.name, meta.image_size, meta.num_images) for meta in list_prepared(tmp_path / "data")] == [
        ("pets", 8, {"train": 20, "test": 10})
    ]


def test_opened_arrays_are_mapped_and_read_only(tmp_path: Path) -> None:
    store = prepare("pets", tmp_path, 8, parquet_folder(tmp_path / "in"))
    images = store.splits["train"].images_NHWC
    assert images.flags.c_contiguous
    assert not images.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_preparing_the_same_again_keeps_the_files(tmp_path: Path) -> None:
    folder = parquet_folder(tmp_path / "in")
    prepare("pets", tmp_path / "data", 8, folder)
    before = {path.name: path.stat().st_ino for path in (tmp_path / "data/pets-8").iterdir()}
    prepare("pets", tmp_path / "data", 8, folder)
    assert {path.name: path.stat().st_ino for path in (tmp_path / "data/pets-8").iterdir()} == before


def test_preparing_other_images_replaces_them_while_an_open_store_stays_valid(tmp_path: Path) -> None:
    old = prepare("pets", tmp_path / "data", 8, parquet_folder(tmp_path / "a"))
    kept = old.splits["train"].images_NHWC.copy()
    new = prepare("pets", tmp_path / "data", 8, parquet_folder(tmp_path / "b", num=12))
    assert new.digest != old.digest
    assert len(new.splits["train"].labels_N) == 12
    assert np.array_equal(old.splits["train"].images_NHWC, kept)
    assert len(list((tmp_path / "data/pets-8").iterdir())) == 3


def test_failed_preparing_leaves_the_old_data_and_nothing_else(tmp_path: Path) -> None:
    store = prepare("pets", tmp_path / "data", 8, parquet_folder(tmp_path / "a"))
    bad = parquet_folder(tmp_path / "b")
    write_parquet(bad / "test.parquet", [encode(pixels(1)[0]), b"not an image"], [0, 1])
    with pytest.raises(DataError, match=r"test\.parquet, row 1"):
        prepare("pets", tmp_path / "data", 8, bad)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["pets-8"]
    assert open_store(tmp_path / "data", "pets", 8, verify=True).digest == store.digest


def test_skipped_rows_are_listed_and_kept_with_the_data(tmp_path: Path) -> None:
    folder = parquet_folder(tmp_path / "in", names=["a", "b"])
    good = [encode(image) for image in pixels(6)]
    write_parquet(folder / "train.parquet", [*good[:2], b"no image", *good[3:]], [0, 1, 0, 2, None, 1], ["a", "b"])
    bad_rows = BadRows(skip=True)
    store = prepare("pets", tmp_path / "data", 8, folder, bad_rows=bad_rows)
    assert np.array_equal(store.splits["train"].images_NHWC, pixels(6)[[0, 1, 5]])
    assert store.splits["train"].labels_N.tolist() == [0, 1, 1]
    for row, why in ((2, "cannot be decoded"), (3, "label 2 is out of range"), (4, "the label is null")):
        assert [why in line for line in bad_rows.found if f"train.parquet, row {row}: " in line] == [True]
    meta = read_meta(tmp_path / "data/pets-8")
    assert meta is not None
    assert meta.skipped == tuple(bad_rows.found)
    assert len(meta.skipped) == 3


def test_nothing_but_bad_rows_is_refused(tmp_path: Path) -> None:
    folder = parquet_folder(tmp_path / "in")
    write_parquet(folder / "test.parquet", [b"no image"] * 3, [0, 1, 0])
    with pytest.raises(DataError, match="the test split holds no usable images"):
        prepare("pets", tmp_path / "data", 8, folder, bad_rows=BadRows(skip=True))


@pytest.mark.parametrize(
    ("num", "subset", "fits"), [(10, False, True), (8, True, True), (8, False, False), (11, True, False)]
)
def test_other_number_of_classes_than_known_is_refused(tmp_path: Path, num: int, subset: bool, fits: bool) -> None:
    folder = parquet_folder(tmp_path / "in", names=[f"class {i}" for i in range(num)])
    for split in ("train", "test"):
        table = pq.read_table(folder / f"{split}.parquet")
        metadata = table.schema.metadata | ({b"subset": b"some of them"} if subset else {})
        pq.write_table(table.replace_schema_metadata(metadata), folder / f"{split}.parquet")
    if fits:
        assert prepare("cifar10", tmp_path / "data", 8, folder).num_classes == num
        return
    with pytest.raises(DataError, match=rf"names {num} classes in its metadata, cifar10 has 10.*another name"):
        prepare("cifar10", tmp_path / "data", 8, folder)


@pytest.mark.slow
def test_killed_preparing_leaves_nothing_that_opens(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from trainables.data.prepare import prepare\n"
        "def stall(done, total):\n    print('piece', flush=True); time.sleep(60)\n"
        f"prepare('cluttered-digits', Path({str(tmp_path)!r}), 16, None, stall)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "piece\n"
        process.send_signal(signal.SIGKILL)
    assert list_prepared(tmp_path) == ()
    with pytest.raises(DataError, match="not prepared"):
        open_store(tmp_path, "cluttered-digits", 16)


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "meta", "labels"])
def test_damage_is_found_and_named(tmp_path: Path, damage: str) -> None:
    prepare("pets", tmp_path, 8, parquet_folder(tmp_path / "in"))
    folder = tmp_path / "pets-8"
    file = next(folder.glob("train-*.arrow"))
    content = bytearray(file.read_bytes())
    culprit = file.name
    if damage == "truncate":
        file.write_bytes(content[:-100])
    elif damage == "flip":
        content[content.index(pixels(1, 8, 0)[0].tobytes()) + 5] ^= 1
        file.write_bytes(content)
        culprit = "pets-8"
    elif damage == "remove":
        file.unlink()
    elif damage == "labels":
        content[content.index(np.arange(20, dtype=np.int64).__mod__(2).tobytes())] = 9
        file.write_bytes(content)
    else:
        (folder / "meta.json").write_text("{", encoding="utf-8")
        culprit = "meta.json"
    with pytest.raises(DataError, match=rf"{culprit}.*aib data prepare pets --from PATH --image-size 8"):
        open_store(tmp_path, "pets", 8, verify=True)


def test_damaged_data_can_be_prepared_again(tmp_path: Path) -> None:
    folder = parquet_folder(tmp_path / "in")
    prepare("pets", tmp_path / "data", 8, folder)
    file = next((tmp_path / "data/pets-8").glob("train-*.arrow"))
    file.write_bytes(file.read_bytes()[:-1])
    prepare("pets", tmp_path / "data", 8, folder)
    assert len(open_store(tmp_path / "data", "pets", 8, verify=True).splits["train"].labels_N) == 20


@pytest.mark.parametrize("file", ["../../precious", "/precious", "..", "a\0b", "", ".hidden"], ids=range(6))
def test_a_meta_file_that_names_files_elsewhere_is_refused_and_removes_nothing(tmp_path: Path, file: str) -> None:
    prepare("pets", tmp_path / "data", 8, parquet_folder(tmp_path / "in"))
    meta, precious = tmp_path / "data/pets-8/meta.json", tmp_path / "precious"
    precious.write_text("mine")
    described = json.loads(meta.read_text())
    described["splits"]["train"]["file"] = file
    meta.write_text(json.dumps(described))
    with pytest.raises(DataError, match="not a plain name"):
        open_store(tmp_path / "data", "pets", 8)
    # Preparing over it removes the old data set's files by the names in its meta file.
    prepare("pets", tmp_path / "data", 8, parquet_folder(tmp_path / "other", num=12))
    assert precious.read_text() == "mine"
    open_store(tmp_path / "data", "pets", 8, verify=True)


def test_bytes_changed_in_the_arrow_files_own_structure_are_damage_and_no_crash(tmp_path: Path) -> None:
    store = prepare("pets", tmp_path / "data", 8, parquet_folder(tmp_path / "in"))
    (path,) = (tmp_path / "data/pets-8").glob("train-*.arrow")
    content, images = path.read_bytes(), store.splits["train"].images_NHWC.tobytes()
    begin = content.index(images[:64])
    places = [*range(0, begin, 3), *range(begin + len(images), len(content), 3)]
    kept = 0
    for place in places:
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            found = open_store(tmp_path / "data", "pets", 8, verify=True)
        except DataError:
            continue
        kept += 1
        assert found.splits["train"].images_NHWC.tobytes() == images
    assert kept < len(places) / 2


def test_newer_format_is_refused(tmp_path: Path) -> None:
    prepare("pets", tmp_path, 8, parquet_folder(tmp_path / "in"))
    meta = tmp_path / "pets-8/meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"format_version": 99}), encoding="utf-8")
    with pytest.raises(DataError, match=r"format version is 99"):
        open_store(tmp_path, "pets", 8)


def test_unprepared_data_names_the_command_and_the_sizes_there_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"aib data prepare cifar10 --from PATH$"):
        open_store(tmp_path, "cifar10", 32)
    prepare("cifar10", tmp_path, 8, parquet_folder(tmp_path / "in"))
    with pytest.raises(DataError, match=r"data\.image_size 8\).*--from PATH --image-size 16$"):
        open_store(tmp_path, "cifar10", 16)
    with pytest.raises(ConfigError, match="did you mean 'cifar10'"):
        open_store(tmp_path, "cifar", 32)


@pytest.mark.parametrize(
    ("name", "size", "source", "error", "message"),
    [
        ("../evil", 32, None, ConfigError, "1 to 64 letters"),
        ("svhn", 4, None, ConfigError, "8 to 512"),
        ("mine", 32, None, ConfigError, "known: cluttered-digits"),
        ("svhn", 32, "absent", DataError, "absent does not exist"),
        ("svhn", 32, ".", DataError, r"a folder with train_32x32\.mat.*train\.parquet"),
        ("svnh", 32, None, ConfigError, "did you mean 'svhn'"),
        ("cluttered-digits", 32, ".", ConfigError, "leave out --from"),
        ("stl10", 32, ".", DataError, r"stl10_binary\.tar\.gz"),
        ("cluttered-digits", 8, None, ConfigError, "16 or more"),
    ],
)
def test_unusable_request_is_refused_before_anything_is_written(
    tmp_path: Path, name: str, size: int, source: str | None, error: type[Exception], message: str
) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(error, match=message):
        prepare(name, tmp_path / "data", size, tmp_path / "in" / source if source else None)
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_preparing_digits_twice_gives_the_same_digest(tmp_path: Path) -> None:
    first = prepare("cluttered-digits", tmp_path / "a", 16)
    assert prepare("cluttered-digits", tmp_path / "b", 16).digest == first.digest
    masks = first.splits["test"].masks_NHW
    assert masks is not None
    assert masks.shape == (2000, 16, 16)


def test_real_svhn_prepares(tmp_path: Path) -> None:
    store = prepare("svhn", tmp_path, 32, real_data("svhn"))
    assert {name: len(split.labels_N) for name, split in store.splits.items()} == {"train": 4434, "test": 1952}
    assert np.bincount(store.splits["test"].labels_N).tolist() == [136, 366, 297, 233, 194, 169, 149, 151, 134, 123]


def test_real_stl10_is_resized(tmp_path: Path) -> None:
    store = prepare("stl10", tmp_path, 32, real_data("stl10"))
    assert store.splits["test"].images_NHWC.shape == (800, 32, 32, 3)
    assert store.class_names[1] == "bird"


def test_extra_is_for_svhn_alone(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--extra adds SVHN's additional training images; cifar10 has none"):
        prepare("cifar10", tmp_path, 32, parquet_folder(tmp_path / "in"), choices=Choices(extra=True))


@pytest.mark.parametrize(
    ("names", "digest"),
    [
        (["cat", "dog"], "5ee97425744928f25e98b768c1fe5c4dac70a1a91567ffe964e710ab74bc22e9"),
        (None, "94cdf7c4c173e2669a78f818e78965efbb37c38b002ea37ac37b2b828022736b"),
    ],
)
def test_a_data_set_keeps_the_digest_that_version_0_1_gave_it(
    tmp_path: Path, names: list[str] | None, digest: str
) -> None:
    assert prepare("pets", tmp_path / "data", 8, parquet_folder(tmp_path / "in", names=names)).digest == digest


def test_every_format_of_version_0_1_gives_the_pixels_that_it_gave(tmp_path: Path) -> None:
    images = pixels(6, 12)
    records: list[bytes | None] = [
        encode(images[0]),
        encode(images[1], "BMP"),
        encode(images[2], "WEBP", lossless=True),
        encode(images[3][:, :, 0].copy()),
        encode(np.dstack([images[4], images[4][:, :, :1]])),
        encode(images[5]),
    ]
    for split in ("train", "test"):
        write_parquet(tmp_path / f"in/{split}.parquet", records, [0, 1, 2, 0, 1, 2])
    digest = "4396f7f774697a1292f1fdd3e168befe05962e54cd95ec05117050af80f88e0d"
    assert prepare("pets", tmp_path / "data", 12, tmp_path / "in").digest == digest


def test_a_folder_as_the_hub_lays_it_out_is_prepared(tmp_path: Path) -> None:
    flat = prepare("pets", tmp_path / "flat", 8, parquet_folder(tmp_path / "in"))
    (tmp_path / "hub/data").mkdir(parents=True)
    (tmp_path / "hub/README.md").touch()
    for split in ("train", "test"):
        (tmp_path / f"in/{split}.parquet").rename(tmp_path / f"hub/data/{split}-00000-of-00001.parquet")
    assert prepare("pets", tmp_path / "data", 8, tmp_path / "hub").digest == flat.digest


def test_a_folder_above_parquet_files_names_them(tmp_path: Path) -> None:
    parquet_folder(tmp_path / "in" / "plain text")
    with pytest.raises(DataError, match=r"holds no images .*--from '.*/in/plain text'$"):
        prepare("pets", tmp_path / "data", 8, tmp_path / "in")


def test_official_files_beside_parquet_files_are_said_to_be_left_out(tmp_path: Path) -> None:
    folder = parquet_folder(tmp_path / "in")
    (folder / "cifar-10-batches-py").mkdir()
    (folder / "cifar-10-batches-py" / "data_batch_1").touch()
    notes = prepare("cifar10", tmp_path / "data", 8, folder).notes
    assert "the Parquet files were read, and not the official files in cifar-10-batches-py" in notes


@pytest.mark.parametrize("choices", [Choices(test_split="validation"), Choices(relabel=True)])
def test_choices_for_parquet_files_are_refused_for_others(tmp_path: Path, choices: Choices) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").touch()
    refused = "--test-split and --relabel are for a folder of Parquet files, and"
    with pytest.raises(ConfigError, match=f"{refused} .* holds the official files"):
        prepare("cifar10", tmp_path / "data", 8, tmp_path, choices=choices)
    for name in ("cluttered-digits", "svhn"):
        with pytest.raises(ConfigError, match=f"{refused} no --from is given"):
            prepare(name, tmp_path / "data", 32, choices=choices)
