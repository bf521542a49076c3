"""The streaming .mat reader against scipy's writer."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from trainables.data.sources.mat import DAMAGED, read_variables


def values(path: Path, name: str, num_values: int = 1000) -> np.ndarray:
    variable = read_variables(path)[name]
    return np.concatenate(list(variable.pieces(num_values))).reshape(variable.shape, order="F")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("num", [1, 2, 4, 5, 700])
def test_arrays_are_read_as_scipy_wrote_them(tmp_path: Path, compressed: bool, num: int) -> None:
    rng = np.random.default_rng(num)
    written = {
        "X": rng.integers(0, 256, (4, 3, 2, num), dtype=np.uint8),
        "y": rng.integers(1, 11, (num, 1), dtype=np.uint8),
        "a_name_longer_than_four": rng.normal(size=(2, num)),
        "small": np.array([[7]], np.int16),
    }
    savemat(tmp_path / "a.mat", written | {"text": "words", "c": np.array([[1j]])}, do_compression=compressed)
    found = read_variables(tmp_path / "a.mat")
    assert found.keys() == written.keys()
    for name, array in written.items():
        # MATLAB drops a trailing dimension of size one.
        assert np.array_equal(values(tmp_path / "a.mat", name).reshape(array.shape), array), name


def test_pieces_have_the_size_asked_for(tmp_path: Path) -> None:
    savemat(tmp_path / "a.mat", {"X": np.arange(10.0)}, do_compression=True)
    pieces = read_variables(tmp_path / "a.mat")["X"].pieces(4)
    assert [piece.tolist() for piece in pieces] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize("compressed", [False, True])
def test_truncated_file_is_refused_wherever_it_is_cut(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "a.mat"
    savemat(path, {"X": np.random.default_rng(0).integers(0, 256, (3000,), dtype=np.uint8)}, do_compression=compressed)
    content = path.read_bytes()
    for length in (0, 100, 127, 130, 140, 200, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(DAMAGED):
            values(path, "X")


def test_flipped_byte_fails_the_checksum(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    savemat(path, {"X": np.zeros(100_000, np.uint8)}, do_compression=True)
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DAMAGED):
        values(path, "X")


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    for content in (b"", b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM", b"\x89HDF" * 100):
        path.write_bytes(content)
        with pytest.raises(DAMAGED):
            read_variables(path)


def test_shape_that_claims_more_than_there_is_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    savemat(path, {"X": np.zeros((1000, 1), np.uint8)})
    content = path.read_bytes().replace((1000).to_bytes(4, "little") + b"\1\0\0\0", b"\xff\xff\xff\x7f\1\0\0\0", 1)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"'X' of shape \(2147483647, 1\) claims 1,000 bytes"):
        read_variables(path)
