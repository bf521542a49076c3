"""The reader accepts plain documents; it refuses all other YAML quickly, and names the place."""

import os
import pickle
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from search_spaces import reader
from search_spaces.errors import SpecError
from search_spaces.reader import MAX_BYTES, MAX_DEPTH, read_file, read_text

NOBODY = 65534


def value(text: str) -> object:
    return read_text(text, "spec.yaml").value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-4", 1e-4),  # text in YAML 1.1
        ("1E5", 1e5),
        (".5", 0.5),
        ("-2.", -2.0),
        ("12", 12),
        ("-3", -3),
        ("true", True),
        ("no", "no"),  # false in YAML 1.1
        ("off", "off"),
        ("1:30", "1:30"),  # 90 in YAML 1.1
        ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"),
        ("null", None),
        ("'007'", "007"),
        ('".nan"', ".nan"),
        ("[1, 2.0, a]", [1, 2.0, "a"]),
        ("{a: {b: []}}", {"a": {"b": []}}),
        ("\ufeffa: 1", {"a": 1}),
    ],
)
def test_plain_values_follow_the_core_schema(text: str, expected: object) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ("a: !!python/object/apply:os.system ['touch /tmp/never']", "1:4", "tag"),
        ("a: !!str 1", "1:4", "tag"),
        ("! a", "1:1", "tag"),
        (BOMB, "1:4", "anchor"),
        ("a: 1\nb: *a", "2:4", "alias"),
        ("a: 1\nc: 2\na: 3", "3:1", "twice"),
        ('a: 1\n"a": 3', "2:1", "twice"),
        ("a" * 300 + ": 1", "1:1", "more than 200 characters"),
        ("1: 2", "1:1", "key must be text"),
        ("? [a]\n: 2", "1:3", "key must be text"),
        ("~: 2", "1:1", "key must be text"),
        ("a: .nan", "1:4", "not a finite number"),
        ("a: [1, -.INF]", "1:8", "not a finite number"),
        ("a: NaN", "1:4", "not a finite number"),
        ("a: inf", "1:4", "not a finite number"),
        ("a: 1e999", "1:4", "too large"),
        ("a: " + "9" * 5000, "1:4", "digits"),
        ("a: 010", "1:4", "begins with 0"),
        ("a: [1, 2", "1:9", "not YAML"),
        ("a: b: c", "1:5", "not YAML"),
        ("a: \x00", "1:4", "character"),
        ("a: 1\n---\nb: 2", "2:1", "second document"),
        ("", "1:1", "empty"),
        ("# nothing\n", "2:1", "empty"),
    ],
)
def test_what_is_no_plain_document_is_refused_with_its_place(text: str, place: str, why: str) -> None:
    with pytest.raises(SpecError) as caught:
        value(text)
    assert str(caught.value).startswith(f"spec.yaml:{place}: ")
    assert why in str(caught.value)


@pytest.mark.parametrize(
    "text", ['a: "\\U00110000"', "%YAML 1." + "9" * 5000 + "\n---\na: 1", '"\\xZZ"', "%YAML 2.0\n---\na"]
)
def test_impossible_escapes_and_directives_are_refused(text: str) -> None:
    with pytest.raises(SpecError, match=r"^spec\.yaml"):
        value(text)


@pytest.mark.parametrize("text", ["[" * 10_000, "{a: " * 10_000, "- " * 10_000, "? " * 10_000])
def test_deep_nesting_is_refused_at_once(text: str) -> None:
    begin = time.monotonic()
    with pytest.raises(SpecError, match=r"levels deep|key must be text"):
        value(text)
    assert time.monotonic() - begin < 2


def test_the_deepest_nesting_allowed_is_read() -> None:
    found = value("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    for _ in range(MAX_DEPTH - 1):
        (found,) = found  # type: ignore[misc]
    assert found == []


def test_a_huge_file_is_refused_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(100 * 2**20)
    begin = time.monotonic()
    with pytest.raises(SpecError, match="larger than 256 KiB"):
        read_file(path)
    assert time.monotonic() - begin < 0.1


def test_an_endless_file_is_refused() -> None:
    with pytest.raises(SpecError, match="larger than 256 KiB"):
        read_file("/dev/zero")


def test_a_pipe_is_read_while_something_comes_and_given_up_when_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pipe.yaml"
    os.mkfifo(path)
    monkeypatch.setattr(reader, "PIPE_WAIT_S", 0.2)
    with pytest.raises(SpecError, match="nothing came out of it"):
        read_file(path)  # a pipe without a writer
    reading, writing = os.pipe()
    try:
        # The path of the shell's <(command).
        with pytest.raises(SpecError, match="nothing came out of it"):
            read_file(f"/dev/fd/{reading}")
        os.write(writing, b"a: [1, 2]\n")
        os.close(writing)
        assert read_file(f"/dev/fd/{reading}").value == {"a": [1, 2]}
    finally:
        os.close(reading)


def test_the_largest_file_allowed_is_read_in_time(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_text("a: [" + "1, " * ((MAX_BYTES - 10) // 3) + "1]")
    begin = time.monotonic()
    assert len(read_file(path).value["a"]) > 80_000
    assert time.monotonic() - begin < 30


@pytest.mark.parametrize("content", [b"a: \xff\xfe", "a: 1".encode("utf-16"), b"x: ok\ny: \xc3\x28"])
def test_other_encodings_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=f"^{path}:{content.count(10) + 1}: is not UTF-8"):
        read_file(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"missing\.yaml: there is no such file; give the path"):
        read_file(tmp_path / "missing.yaml")
    with pytest.raises(SpecError, match="cannot be read"):
        read_file(tmp_path)
    with pytest.raises(SpecError, match="cannot be read"):
        read_file("a\0b")


@pytest.mark.parametrize("name", ["spec.yaml", "[a] *.yaml"])
def test_a_file_that_moved_to_a_subfolder_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "table1").mkdir()
    (tmp_path / "table1" / name).touch()
    with pytest.raises(SpecError) as refused:
        read_file(tmp_path / name)
    assert str(refused.value) == (
        f"{tmp_path / name}: there is no such file; did you mean '{tmp_path / 'table1' / name}'? Give the path of a "
        "search specification (YAML)."
    )


@pytest.fixture
def unreadable(tmp_path: Path) -> Iterator[Path]:
    """A file that this process may not read. Root may read all files, so the test runs as another user."""
    path = tmp_path / "spec.yaml"
    path.touch(mode=0o000)
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    yield path
    os.seteuid(before)


def test_an_unreadable_file_is_named(unreadable: Path) -> None:
    with pytest.raises(SpecError, match="Permission denied"):
        read_file(unreadable)


def test_lines_are_known_for_every_key_and_item() -> None:
    lines = read_text("a: 1\nb:\n  - x\n  - y: 2\n", "s").lines
    assert lines == {("a",): 1, ("b",): 2, ("b", 0): 3, ("b", 1): 4, ("b", 1, "y"): 4}


def test_the_error_pickles() -> None:
    error = pickle.loads(pickle.dumps(SpecError("spec.yaml:1:1: wrong.")))
    assert isinstance(error, ValueError)
    assert str(error) == "spec.yaml:1:1: wrong."
