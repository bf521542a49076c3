"""Text from data is escaped where it is shown, whatever verb or library it comes from."""

import io
import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from orchestrator.cli.app import main
from orchestrator.cli.terminal import Terminal
from orchestrator.process import logs
from tests.support.former_root import unpack_former_root
from tests.support.images import parquet_folder

HOSTILE = "\x1b[31mred\x1b[0m\u202eb"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printed(renderable: object, **options: object) -> str:
    stream = io.StringIO()
    Terminal(file=stream, width=60, **options).print(renderable)
    return stream.getvalue()


def test_text_tables_and_styled_text_are_escaped() -> None:
    table = Table(HOSTILE, "next", box=None, pad_edge=False)
    table.add_row(HOSTILE, "x")
    table.add_row(Text(HOSTILE), "y")
    for renderable in (HOSTILE, table, Text(HOSTILE)):
        shown = printed(renderable)
        assert not OBEYED.search(shown)
        assert "\\x1b[31mred\\x1b[0m\\u202eb" in shown
    head, row, _ = printed(table).splitlines()
    assert head.index("next") == row.rindex("x"), "columns fit what is shown in them"


def test_the_consoles_own_colours_pass() -> None:
    shown = printed(Text(HOSTILE, style="red"), force_terminal=True, color_system="standard")
    assert shown == "\x1b[31m\\x1b[31mred\\x1b[0m\\u202eb\x1b[0m\n"


@pytest.fixture
def text_log() -> Iterator[io.StringIO]:
    stream, handler = io.StringIO(), logging.StreamHandler()
    handler.setStream(stream)
    before = logging.getLogRecordFactory()
    logs.configure("text")
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)
    logging.setLogRecordFactory(before)


def test_what_a_library_logs_is_escaped(text_log: io.StringIO) -> None:
    logging.getLogger("library").warning("cannot read %s", HOSTILE)
    assert "cannot read \\x1b[31mred" in text_log.getvalue()
    assert not OBEYED.search(text_log.getvalue())


def test_hostile_class_names_are_shown_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [HOSTILE, "two\nlines", "$\\frac$"]
    source = parquet_folder(tmp_path / "in", names=names)
    root, saved = ["--root", str(tmp_path / "runs")], tmp_path / "saved"
    for words in (["prepare", "own", "--from", str(source)], ["show", "own", "--save", str(saved)], ["list"]):
        with pytest.raises(SystemExit) as leaving:
            main(["data", *words, *root])
        assert leaving.value.code == 0
    said = capsys.readouterr()
    assert not OBEYED.search(said.out + said.err)
    assert "classes: \\x1b[31mred\\x1b[0m\\u202eb, two\\nlines, $\\frac$\n" in said.out
    assert not [path for path in saved.iterdir() if OBEYED.search(path.name) or "\n" in path.name]


def test_a_file_name_in_a_message_is_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["plan", HOSTILE], ["search", f"{HOSTILE}.yaml"], ["data", "show", "x", HOSTILE]):
        with pytest.raises(SystemExit) as leaving:
            main([*words, "--root", str(tmp_path / "runs")])
        assert leaving.value.code == 2
        said = capsys.readouterr().err
        assert "\\x1b[31mred" in said
        assert not OBEYED.search(said)


def test_tags_of_a_registered_model_are_shown_escaped(
    tmp_path: Path, digits_root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = unpack_former_root(tmp_path / "runs", digits_root)
    with closing(sqlite3.connect(root / "mlflow.db")) as database:
        database.execute("UPDATE model_version_tags SET value = ? WHERE key = 'aib.study'", (HOSTILE,))
        database.commit()
    with pytest.raises(SystemExit):
        main(["models", "--root", str(root)])
    said = capsys.readouterr()
    assert "\\x1b[31mred\\x1b[0m\\u202eb" in said.out
    assert not OBEYED.search(said.out + said.err)
