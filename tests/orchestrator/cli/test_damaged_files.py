"""Damaged and foreign files under a root, verb by verb: one sentence that names the file, exit 3, and no traceback."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.cli.app import main
from tests.support.former_root import unpack_former_root

DEEP = "[" * 100_000


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, digits_root: Path) -> Path:
    """A root with a finished study, a registered model and prepared data, not to be changed."""
    return unpack_former_root(tmp_path_factory.mktemp("finished") / "runs", digits_root)


@pytest.fixture
def root(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy that a test may damage; its data too."""
    for name in ("RAY_ADDRESS", "AIB_TRACEBACK", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    copied = tmp_path / "runs"
    shutil.copytree(finished, copied, symlinks=False)
    # As a user's own root, which `tarfile` may have made wider.
    for folder in copied.glob("studies/*"):
        folder.chmod(0o700)
    monkeypatch.chdir(tmp_path)
    return copied


class Verbs:
    """Runs verbs and checks that none of them shows a traceback."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._root, self._capsys = root, capsys

    def run(self, words: list[str]) -> tuple[int, str]:
        """Exit code and stderr."""
        with pytest.raises(SystemExit) as leaving:
            main([*words, "--root", str(self._root)])
        said = self._capsys.readouterr()
        assert "Traceback" not in said.err + said.out, (words, said.err)
        assert " at 0x" not in said.err, (words, said.err)
        return int(leaving.value.code or 0), said.err

    def refuse(self, words: list[str], *named: str, code: int = 3) -> None:
        found, said = self.run(words)
        assert found == code, (words, said)
        for name in named:
            assert name in said, (words, said)
        # One paragraph: what was received, what is allowed, what to do.
        assert said.count("\n") == 1, (words, said)


@pytest.fixture
def verbs(root: Path, capsys: pytest.CaptureFixture[str]) -> Verbs:
    return Verbs(root, capsys)


def replace(path: Path, content: object) -> None:
    """Puts text, bytes, a JSON value, or for None a folder, in the place of a file."""
    path.unlink(missing_ok=True)
    if content is None:
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    path.chmod(0o700 if content is None else 0o600)


READ_STUDY = [["status"], ["trials"], ["best"], ["pareto"], ["watch"], ["report"], ["gc"], ["evaluate"], ["promote"]]


def stored(root: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((root / "studies" / "former" / "study.json").read_text())
    return found


STUDY_JSON: dict[str, Callable[[Path], object]] = {
    "empty": lambda root: "",
    "bytes": lambda root: bytes(range(256)) * 20,
    "a folder": lambda root: None,
    "nested without end": lambda root: DEEP,
    "a list": lambda root: [],
    "an empty object": lambda root: {},
    "no signature": lambda root: {key: value for key, value in stored(root).items() if key != "signature"},
    "a signature of another kind": lambda root: {**stored(root), "signature": 7},
    "a spec of another kind": lambda root: {**stored(root), "spec": "text"},
    "another study's spec": lambda root: {**stored(root), "spec": {**stored(root)["spec"], "name": "x"}},  # type: ignore[dict-item]
    "an invalid spec": lambda root: {**stored(root), "spec": {**stored(root)["spec"], "trials": "many"}},  # type: ignore[dict-item]
    "data of another kind": lambda root: {**stored(root), "data": ["x"]},
    "a foreign storage": lambda root: {**stored(root), "storage": "ftp://x"},
}


@pytest.mark.parametrize("fault", STUDY_JSON)
def test_a_study_json_that_is_none_is_named_by_every_verb(fault: str, root: Path, verbs: Verbs) -> None:
    replace(root / "studies" / "former" / "study.json", STUDY_JSON[fault](root))
    for verb in READ_STUDY:
        if fault == "a foreign storage" and verb[0] not in ("gc", "evaluate", "promote"):
            continue
        verbs.refuse([*verb, "former"], "study.json", "copy")
    verbs.refuse(["search", "former", "--resume"], "study.json", "copy")


def test_a_study_json_that_was_edited_is_told_from_another_spec(root: Path, verbs: Verbs) -> None:
    path = root / "studies" / "former" / "study.json"
    changed = stored(root)
    changed["spec"]["trials"] = 9  # type: ignore[index]
    replace(path, changed)
    verbs.refuse(["search", "former", "--resume"], "study.json was changed after the study began", "copy", "--name")
    verbs.refuse(["promote", "former"], "study.json was changed after the study began")


def event(name: str, **fields: object) -> str:
    return json.dumps({"event": name, "time": 9e9, **fields})


TRIAL = event("trial", trial="t00009", kind="search", params={}, seed=0, of=None)
ERRORS = {"val_error_pct": 1.0, "val_nll": 1.0}
JOURNAL: dict[str, object] = {
    "bytes": bytes(range(256)) * 20,
    "a folder": None,
    "nested without end": DEEP + "\n",
    **{
        name: line + "\n"
        for name, line in {
            "no event": "{}",
            "a list": "[]",
            "a time of another kind": json.dumps({"event": "stage", "stage": "done", "time": "now"}),
            "a time without end": '{"event": "stage", "stage": "done", "time": Infinity}',
            "a stage of another kind": event("stage", stage=["done"]),
            "params of another kind": event("trial", trial="t0", kind="search", params="x", seed=0, of=None),
            "an unknown kind of trial": event("trial", trial="t0", kind="x", params={}, seed=0, of=None),
            "an epoch of no trial": event("epoch", trial="nobody", metrics={"epoch": 1, **ERRORS}),
            "metrics of another kind": f"{TRIAL}\n{event('epoch', trial='t00009', metrics=[1])}",
            "a metric that is text": f"{TRIAL}\n{event('epoch', trial='t00009', metrics={'epoch': 1, 'lr': 'x'})}",
            "an epoch without error": f"{TRIAL}\n{event('epoch', trial='t00009', metrics={'epoch': 1})}",
            "half an epoch": f"{TRIAL}\n{event('epoch', trial='t00009', metrics={'epoch': 0.5, **ERRORS})}",
            "an unknown end": f"{TRIAL}\n{event('ended', trial='t00009', state='gone', reason='')}",
            "a gate without decision": event("gate", decision={}),
            "a gate with a reason of another kind": event("gate", decision={"promote": True, "reasons": ["x"]}),
            "a version without name": event("registered", version={}),
            "a record without address": event("mlflow", record={}),
            "an address that is none": event(
                "mlflow", record={"tracking_uri": "http://[::1", "experiment_id": "1", "run_id": None}
            ),
        }.items()
    },
}


@pytest.mark.parametrize("fault", JOURNAL)
def test_a_damaged_journal_is_named_by_every_verb(fault: str, root: Path, verbs: Verbs) -> None:
    path = root / "studies" / "former" / "journal.jsonl"
    content = JOURNAL[fault]
    replace(path, path.read_text() + content if isinstance(content, str) else content)
    for verb in READ_STUDY:
        # Before it reads the journal, `evaluate` finds the exported model.
        if verb != ["evaluate"]:
            verbs.refuse([*verb, "former"], "journal.jsonl", "copy")
    verbs.refuse(["search", "former", "--resume"], "journal.jsonl", "copy")


def torn(root: Path) -> bytes:
    whole = (root / "mlflow.db").read_bytes()
    return whole[:8192] + b"\xff" * (len(whole) - 8192)


DATABASE: dict[str, Callable[[Path], object]] = {
    "bytes": lambda root: bytes(range(1, 256)) * 20,
    "text": lambda root: "notes" * 1000,
    "a folder": lambda root: None,
    "a torn one": torn,
}
READ_RECORD = [["models"], ["pull", "aib-former", "pulled"], ["predict", "aib-former", "x.png"]]
READ_RECORD += [["evaluate", "models:/aib-former@champion"], ["doctor", "--no-ray"]]


@pytest.mark.parametrize("fault", DATABASE)
def test_a_tracking_database_that_is_none_is_named_by_every_verb(fault: str, root: Path, verbs: Verbs) -> None:
    replace(root / "mlflow.db", DATABASE[fault](root))
    for verb in READ_RECORD:
        if verb[0] == "doctor":
            assert verbs.run(verb)[0] == 3
        else:
            verbs.refuse(verb, "mlflow.db", "--tracking-uri")
    if fault != "a torn one":
        # A new search is refused before it starts Ray; a torn one opens, and is found by its first query.
        for verb in (["search", "interrupted", "--resume"], ["plan", "spec.yaml"]):
            write_spec(root)
            verbs.refuse(verb, "mlflow.db", "--tracking-uri")


def test_a_database_of_another_version_is_named(root: Path, verbs: Verbs) -> None:
    with sqlite3.connect(root / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'of tomorrow'")
    database.close()
    verbs.refuse(["models"], "mlflow.db")


def write_spec(root: Path) -> None:
    text = (
        "name: new\ntrial: {model: vgg-aib-qt, model.width: 0.0625, dataset: cluttered-digits, epochs: 1, "
        "data.image_size: 16, evaluation.occluder_dataset: cluttered-digits}\nspace: {}\ntrials: 1\n"
    )
    (root.parent / "spec.yaml").write_text(text)


META: dict[str, object] = {
    "empty": "",
    "bytes": bytes(range(256)) * 20,
    "a folder": None,
    "nested without end": DEEP,
    "a list": [],
    "class names of another kind": {"class_names": [1, 2]},
    "a digest of another kind": {"digest": 7},
    "a number of another kind": {"image_size": "16"},
    "a file that leads out": {"splits": {"train": {"file": "../x", "num_images": 1, "num_bytes": 1}}},
}


@pytest.mark.parametrize("fault", META)
def test_damaged_prepared_data_is_named_by_every_verb(fault: str, root: Path, verbs: Verbs) -> None:
    path, content = root / "data" / "cluttered-digits-16" / "meta.json", META[fault]
    replace(path, {**json.loads(path.read_text()), **content} if isinstance(content, dict) else content)
    write_spec(root)
    show = ["data", "show", "cluttered-digits", "--image-size", "16"]
    for verb in (["data", "list"], show, ["plan", "spec.yaml"], ["search", "spec.yaml"], ["train", "spec.yaml"]):
        verbs.refuse(verb, "cluttered-digits-16", "prepare it again")
    assert verbs.run(["doctor", "--no-ray"])[0] == 3


@pytest.mark.parametrize("content", [b"", b"ARROW1" * 99, None], ids=["empty", "bytes", "a folder"])
def test_damaged_images_are_named_by_every_verb(content: object, root: Path, verbs: Verbs) -> None:
    folder = root / "data" / "cluttered-digits-16"
    (path,) = folder.glob("test-*.arrow")
    replace(path, content)
    # Of the right size, so that not only the size tells.
    meta = json.loads((folder / "meta.json").read_text())
    meta["splits"]["test"]["num_bytes"] = path.stat().st_size
    replace(folder / "meta.json", meta)
    write_spec(root)
    show = ["data", "show", "cluttered-digits", "--image-size", "16"]
    for verb in (show, ["plan", "spec.yaml"], ["search", "spec.yaml"]):
        verbs.refuse(verb, path.name, "prepare it again")


EXPORTED: dict[str, tuple[str, object]] = {
    "no manifest": ("manifest.json", b""),
    "a manifest nested without end": ("manifest.json", DEEP),
    "a manifest of another kind": ("manifest.json", {"files": ["config.json"]}),
    "a manifest that is a folder": ("manifest.json", None),
    "a description of another kind": ("config.json", []),
    "a description nested without end": ("config.json", DEEP),
    "weights that are none": ("model.safetensors", bytes(range(256))),
}


@pytest.mark.parametrize("signed", [False, True], ids=["as found", "with a manifest that fits"])
@pytest.mark.parametrize("fault", EXPORTED)
def test_a_damaged_exported_model_is_named(fault: str, signed: bool, root: Path, verbs: Verbs) -> None:
    from tests.orchestrator.registry.conftest import export_tiny
    from trainables.checkpoints.checkpoint import write_manifest

    folder = export_tiny(root.parent / "model")
    name, content = EXPORTED[fault]
    replace(folder / name, content)
    if signed and name != "manifest.json":
        write_manifest(folder)
    verbs.refuse(["evaluate", str(folder)], str(folder), code=1)


def test_a_lock_that_is_no_file_is_named(root: Path, verbs: Verbs) -> None:
    replace(root / "studies" / "former" / "lease", None)
    verbs.refuse(["gc", "former"], "lease", "remove it")
    verbs.refuse(["search", "former", "--resume"], "lease", "remove it")
    for verb in ("status", "trials", "watch"):
        assert verbs.run([verb, "former"])[0] == 0


def test_a_place_that_cannot_be_written_is_named(root: Path, verbs: Verbs) -> None:
    (root.parent / "notes").write_text("")
    for verb in (["report", "former", "--out", "notes/x"], ["pull", "aib-former", "notes/x"]):
        verbs.refuse(verb, "notes", "cannot be used (", "another place", code=1)


def test_a_damaged_spool_costs_only_what_is_damaged(root: Path, verbs: Verbs) -> None:
    spool = root / "studies" / "former" / "spool"
    replace(spool / "header.json", DEEP)
    replace(spool / "delivered", b"\xff\xfe")
    replace(spool / "0000000007.jsonl", bytes(range(256)) + b"\n[]\n{}\n" + DEEP.encode() + b"\n")
    replace(spool / "0notes.jsonl", "x")
    replace(spool / "rejected.jsonl", b"\xff\n[]\n")
    assert verbs.run(["gc", "former", "--dry-run"])[0] == 0
    # A finished study: the search itself is done, and nothing of it starts again.
    assert verbs.run(["search", "former", "--resume"])[0] in (0, 5)
