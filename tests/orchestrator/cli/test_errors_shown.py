"""Bad input: one paragraph that names the field or file, the contract's exit code, and nothing written."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from orchestrator.cli.app import main

SPEC = """
name: bad
trial: {model: vgg-aib-qt, model.width: 0.0625, dataset: cluttered-digits, epochs: 2, data.image_size: 16}
space: {bottleneck.beta: {power_of_ten: [1, 2]}}
trials: 2
"""


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster that other tests share is not the user's here."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str], root: Path) -> tuple[int, str]:
    """Exit code and message; fails if anything was written."""
    with pytest.raises(SystemExit) as leaving:
        main([*arguments, "--root", str(root)])
    assert not root.exists(), f"{arguments} wrote {sorted(root.rglob('*'))}"
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return int(leaving.value.code or 0), captured.err


@pytest.mark.parametrize("verb", ["plan", "search", "train"])
@pytest.mark.parametrize(
    ("changes", "code", "named"),
    [
        (["sampler.nmae=tpe"], 2, ["sampler.nmae", "name"]),
        (["trial.bottleneck.bta=0.1"], 2, ["bottleneck.bta", "bottleneck.beta"]),
        (["trial.epochs=none"], 2, ["epochs", "whole number"]),
        (["dataset=cifar11"], 2, ["cifar11", "cifar10"]),
        (["resources.workers_per_trial=4096", "optim.batch_size=8192"], 3, ["4096 workers", "workers_per_trial"]),
        (["resources.gpus_per_worker=64"], 3, ["64 GPUs", "gpus_per_worker"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else str(value),
)
def test_bad_field_is_named_with_its_exit_code(
    verb: str,
    changes: list[str],
    code: int,
    named: list[str],
    spec: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sets = [word for change in changes for word in ("--set", change)]
    found, message = refused([verb, str(spec), *sets], capsys, tmp_path / "runs")
    assert found == code, message
    for word in named:
        assert word in message


@pytest.mark.parametrize("verb", ["plan", "search", "train"])
@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("AIB_STORAGE", "ftp://host/x", ["the storage URI is 'ftp://host/x'", "s3://BUCKET/PREFIX"]),
        ("AIB_STORAGE", "\x1b[31m", ["the storage URI is"]),
        ("AIB_COPY_DATA", "perhaps", ["AIB_COPY_DATA", "perhaps"]),
        ("AIB_LOG", "xml", ["AIB_LOG", "xml"]),
        ("MLFLOW_TRACKING_URI", "ftp://host/x", ["MLFLOW_TRACKING_URI", "ftp://host/x"]),
        ("RAY_ADDRESS", "head", ["RAY_ADDRESS", "HOST:PORT"]),
        ("AIB_ROOT", "/dev/null/x", ["the root /dev/null/x cannot be used", "AIB_ROOT"]),
    ],
)
def test_a_variable_that_says_nothing_usable_is_refused_by_plan_as_by_search(
    verb: str,
    variable: str,
    value: str,
    named: list[str],
    spec: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIB_ROOT", str(tmp_path / "runs"))
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as leaving:
        main([verb, str(spec)])
    said = capsys.readouterr().err
    assert leaving.value.code == (3 if variable == "AIB_ROOT" else 2), said
    for word in named:
        assert word in said
    assert "Traceback" not in said
    assert not (tmp_path / "runs").exists(), "data is prepared later"


@pytest.mark.parametrize("verb", ["search", "train"])
def test_a_study_that_is_not_there_is_not_called_a_file(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, message = refused([verb, "NOSUCH", "--resume"], capsys, tmp_path / "runs")
    assert (code, "there is no study 'NOSUCH'" in message, "aib search SPEC" in message) == (2, True, True)
    (tmp_path / "there" / "studies" / "other").mkdir(parents=True)
    (tmp_path / "there" / "studies" / "other" / "study.json").write_text("{}")
    with pytest.raises(SystemExit):
        main([verb, "NOSUCH", "--resume", "--root", str(tmp_path / "there")])
    assert "studies there: other" in capsys.readouterr().err


def test_missing_data_says_how_to_prepare_it(spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, message = refused(
        ["search", str(spec), "--set", "dataset=cifar10", "--set", "data.image_size=32"], capsys, tmp_path / "runs"
    )
    assert code == 3
    assert "aib data prepare cifar10 --from PATH" in message


@pytest.mark.parametrize("verb", ["status", "trials", "best", "pareto", "report", "gc"])
def test_unknown_study_is_named(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, message = refused([verb, "nowhere"], capsys, tmp_path / "runs")
    assert code == 3
    assert "nowhere" in message


def test_a_study_name_that_leaves_the_root_is_refused(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, message = refused(["search", str(spec), "--name", "../out"], capsys, tmp_path / "runs")
    assert code == 2
    assert "../out" in message


def test_a_spec_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, message = refused(["plan", str(tmp_path / "none.yaml")], capsys, tmp_path / "runs")
    assert code == 2
    assert "none.yaml" in message


def test_a_corrupt_parquet_row_is_named_and_nothing_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "images"
    source.mkdir()
    for split in ("train", "test"):
        encoded = []
        for i in range(6):
            path = tmp_path / f"{i}.png"
            Image.fromarray(np.full((32, 32, 3), i, np.uint8)).save(path)
            encoded.append({"bytes": path.read_bytes(), "path": path.name})
        if split == "test":
            encoded[4]["bytes"] = encoded[4]["bytes"][:40]
        pq.write_table(pa.table({"image": encoded, "label": [0, 1, 0, 1, 0, 1]}), source / f"{split}.parquet")
    root = tmp_path / "runs"
    with pytest.raises(SystemExit) as leaving:
        main(["data", "prepare", "own", "--from", str(source), "--root", str(root)])
    message = capsys.readouterr().err
    assert leaving.value.code == 3
    assert "test.parquet" in message
    assert "4" in message
    assert not [path for path in root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("verb", ["plan", "search", "train", "promote"])
def test_a_dashboards_url_is_not_where_a_driver_joins(
    verb: str, spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    what = "some" if verb == "promote" else str(spec)
    code, message = refused([verb, what, "--address", "http://127.0.0.1:8265"], capsys, tmp_path / "runs")
    assert code == 2
    for word in ("http://127.0.0.1:8265", "aib submit", "auto", "6379"):
        assert word in message


def registered(folder: Path) -> list[list[str]]:
    """The verbs that ask for a registered model."""
    return [["pull", "m", str(folder / "pulled")], ["predict", "m", "x.png"], ["evaluate", "models:/m@champion"]]


@pytest.mark.parametrize("uri", ["foo", "s3://bucket/runs", "http://h:99999", "http://[::1"])
def test_an_address_that_is_none_is_refused_by_every_verb(
    uri: str, spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in (["models"], *registered(tmp_path), ["plan", str(spec)], ["search", str(spec)]):
        code, message = refused([*verb, "--tracking-uri", uri], capsys, tmp_path / "runs")
        assert code == 2, message
        assert "--tracking-uri" in message
        assert uri in message


@pytest.mark.parametrize("verb", ["plan", "search", "train"])
def test_a_storage_that_is_none_is_refused_before_anything_is_prepared(
    verb: str, spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIB_STORAGE", "ftp://host/runs")
    code, message = refused([verb, str(spec)], capsys, tmp_path / "runs")
    assert code == 2
    assert "the storage URI is 'ftp://host/runs'; allowed: s3://" in message


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("postgresql+psycopg2://127.0.0.1:9/mlflow", "cannot be reached"),
        ("postgresql+pg8000://127.0.0.1:9/mlflow", "needs the Python module pg8000"),
        ("mysql://127.0.0.1:9/mlflow", "needs the Python module MySQLdb"),
        ("postgresql+nothing://127.0.0.1:9/mlflow", "cannot be used"),
    ],
)
def test_a_database_server_that_cannot_be_used_is_one_sentence_of_every_verb(
    uri: str, said: str, spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in (["models"], *registered(tmp_path), ["search", str(spec)]):
        code, message = refused([*verb, "--tracking-uri", uri], capsys, tmp_path / "runs")
        assert code == 3, message
        assert message.splitlines()[-1].startswith(f"aib: the tracking store {uri} {said}")


@pytest.mark.parametrize("given", ["option", "variable"])
def test_a_tilde_means_the_home_folder(
    given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    if given == "variable":
        monkeypatch.setenv("AIB_ROOT", "~/x")
    with pytest.raises(SystemExit):
        main(["status", "nowhere", *(["--root", "~/x"] if given == "option" else [])])
    assert str(tmp_path / "home" / "x" / "studies") in capsys.readouterr().err


def test_a_home_folder_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["status", "nowhere", "--root", "~no-such-user/x"])
    assert leaving.value.code == 2
    assert "no home folder of ~no-such-user" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "said"), [("feature%2Fbeta", "'%2F'"), ("what?now=1", "a question mark")])
def test_a_root_that_mlflow_would_misread_is_refused_by_every_verb_with_a_database(
    name: str, said: str, spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in (["models"], *registered(tmp_path), ["plan", str(spec)], ["search", str(spec)], ["status", "some"]):
        code, message = refused(verb, capsys, tmp_path / name)
        assert code == 2, message
        assert said in message
        assert "choose another --root" in message
    assert [path.name for path in tmp_path.iterdir()] == ["spec.yaml"]


@pytest.mark.parametrize("given", [(), ("--tracking-uri", "sqlite:///RECORD/else.db")])
def test_verbs_that_read_make_no_record_and_name_the_one_that_is_not_there(
    given: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "record"
    uri = [word.replace("RECORD", str(record)) for word in given]
    named = "else.db" if given else str(tmp_path / "runs" / "mlflow.db")
    for verb in registered(tmp_path):
        code, message = refused([*verb, *uri], capsys, tmp_path / "runs")
        assert code == 3, message
        assert named in message
        assert "MLFLOW_TRACKING_URI" in message
    code, message = refused(["models", *uri], capsys, tmp_path / "runs")
    assert (code, named in message, "MLFLOW_TRACKING_URI" in message) == (0, True, True), message
    with pytest.raises(SystemExit):
        main(["doctor", "--no-ray", *uri, "--root", str(tmp_path / "runs")])
    assert "will be made by the first search" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_usage_errors_leave_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["serach"], ["plan"], ["predict", "x"], ["plan", "a", "b"]):
        with pytest.raises(SystemExit) as leaving:
            main(arguments)
        assert leaving.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_every_verb_has_help_and_a_default_root(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIB_ROOT", raising=False)
    verbs = ["plan", "search", "train", "status", "trials", "best", "pareto", "evaluate", "report", "models", "promote"]
    verbs += ["pull", "predict", "describe", "doctor", "gc", "data list", "data prepare", "data show"]
    for verb in verbs:
        with pytest.raises(SystemExit) as leaving:
            main([*verb.split(), "-h"])
        assert leaving.value.code == 0, verb
        assert "default: runs" in capsys.readouterr().out, verb
