"""Puts canary secrets in every place where a user can put one, and looks for them in everything a command leaves.

Short: commands that fail and commands that read, in this process. Long: a whole search over an MLflow server and an
object store, with Ray's own files.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.tune.execution import class_cache

from orchestrator.cli.app import main
from orchestrator.search.tune_run import TUNE_SETTINGS, _prepare_tune
from orchestrator.tracking.mlflow.store import local_tracking_uri, prepare_store
from tests.orchestrator.workflow.test_search_end_to_end import SPEC
from tests.support.command import environment
from tests.support.free_port import free_port
from tests.support.mlflow_server import mlflow_server
from tests.support.s3_server import s3_server
from tests.support.some_study import make_study
from trainables.checkpoints.bucket import Bucket
from trainables.checkpoints.object_store import ObjectStore

WORD = "c4n4ry"
IN_THE_ENVIRONMENT = {
    "MLFLOW_TRACKING_USERNAME": "ann",
    "MLFLOW_TRACKING_PASSWORD": f"{WORD}-password",
    "AWS_ACCESS_KEY_ID": "AKIAC4N4RYC4N4RYC4N4",
    "AWS_SECRET_ACCESS_KEY": f"{WORD}/secret+key",
    "AWS_SESSION_TOKEN": f"{WORD}-session",
    "RAY_AUTH_TOKEN": f"{WORD}-ray-token",
}
AWAY = f"http://ann:{WORD}%2Fin-uri@127.0.0.1:9"
"""Nothing listens there."""
FAILING = [
    ["search", "SPEC", "--tracking-uri", AWAY],
    ["train", "SPEC", "--tracking-uri", AWAY],
    ["doctor", "--no-ray", "--tracking-uri", AWAY],
    ["doctor", "--no-ray", "--json", "--tracking-uri", AWAY],
    ["models", "--tracking-uri", AWAY],
    ["models", "--tracking-uri", f"mysql+nodriver://ann:{WORD}@127.0.0.1/x"],
    ["models", "--tracking-uri", f"ftp://ann:{WORD}@127.0.0.1/x"],
    ["pull", "some-model", "DIR", "--tracking-uri", AWAY],
    ["predict", "some-model", "IMAGE", "--tracking-uri", AWAY],
    ["evaluate", "models:/some-model@champion", "--tracking-uri", AWAY],
    ["promote", "some", "--tracking-uri", AWAY],
    ["search", "SPEC", "--storage", f"s3://AKIAC4N4RYC4N4RYC4N4:{WORD}@bucket/runs"],
    ["search", "SPEC", "--storage", f"s3://bucket/runs?secret_key={WORD}"],
    ["search", "SPEC", "--address", f"ray://ann:{WORD}@127.0.0.1:9"],
    ["submit", "SPEC", "--address", f"http://ann:{WORD}@127.0.0.1:9", "--tracking-uri", AWAY],
    ["status", "some", "--address", f"http://ann:{WORD}@127.0.0.1:9"],
]


@pytest.fixture
def canaries(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("RAY_", "AIB_", "AWS_", "MLFLOW_")):
            monkeypatch.delenv(name)
    for name, value in IN_THE_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def found_in(text: str) -> list[str]:
    """Returns the lines with a canary in any of its forms."""
    return [line for line in text.splitlines() if WORD in line.lower()]


def found_under(*folders: Path) -> list[str]:
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [str(path) for path in files if WORD.encode() in path.read_bytes().lower()]


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(SPEC)
    return path


@pytest.mark.parametrize("traceback", ["", "1"])
@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.usefixtures("canaries")
def test_no_failing_command_tells_a_secret(
    tmp_path: Path,
    spec: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    log_format: str,
    traceback: str,
) -> None:
    monkeypatch.setenv("AIB_TRACEBACK", traceback)
    root = tmp_path / "runs"
    make_study(root)
    places = {"SPEC": str(spec), "DIR": str(tmp_path / "pulled"), "IMAGE": str(tmp_path / "image.png")}
    for arguments in FAILING:
        given = [places.get(word, word) for word in arguments]
        with pytest.raises(SystemExit) as leaving:
            main(["--log-format", log_format, *given, "--root", str(root)])
        said = "".join(capfd.readouterr())
        assert leaving.value.code in (1, 2, 3), given
        assert not found_in(said), arguments
        assert said, arguments
        if traceback and leaving.value.code == 3 and arguments[0] != "doctor":
            assert "Traceback" in said, arguments
    assert found_under(root) == []


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.usefixtures("canaries")
def test_an_object_store_that_refuses_the_key_is_named_without_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    with s3_server(tmp_path) as s3:
        make_study(tmp_path / "runs", s3.uri)
    with s3_server(tmp_path) as s3:
        for name, value in IN_THE_ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        study_json = tmp_path / "runs" / "studies" / "some" / "study.json"
        study_json.write_text(
            study_json.read_text().replace("storage", "former", 1)[:-1] + f', "storage": "{s3.uri}"}}'
        )
        for arguments in (["gc", "some"], ["report", "some"], ["gc", "some", "--json"]):
            with pytest.raises(SystemExit):
                main([*arguments, "--root", str(tmp_path / "runs")])
            said = "".join(capfd.readouterr())
            assert said, arguments
            assert not found_in(said), arguments
    assert found_under(tmp_path / "runs") == []


@pytest.mark.usefixtures("canaries")
def test_a_process_that_joins_ray_shows_no_secret_in_its_title() -> None:
    script = (
        "from orchestrator.ray_cluster.process_title import hide_secrets_in_title as hide; hide(); "
        "print(open('/proc/self/cmdline').read().replace('\\0', ' '))"
    )
    command = [sys.executable, "-c", script, "search", "spec.yaml", "--tracking-uri", AWAY]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=250, check=True).stdout
    assert "search spec.yaml --tracking-uri http://***@127.0.0.1:9" in shown
    assert not found_in(shown)


def test_tune_gives_its_trials_actors_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray writes an actor's runtime environment to its logs."""
    monkeypatch.setattr(class_cache, "ENV_VARS_TO_PROPAGATE", set(class_cache.ENV_VARS_TO_PROPAGATE))
    for name in TUNE_SETTINGS:
        monkeypatch.setenv(name, "")
    given = set(class_cache.ENV_VARS_TO_PROPAGATE) & set(IN_THE_ENVIRONMENT)
    assert given, "else there is nothing to keep back"
    _prepare_tune()
    assert not set(class_cache.ENV_VARS_TO_PROPAGATE) & set(IN_THE_ENVIRONMENT)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Ray creates sockets in it, and their paths have a short limit."""
    folder = Path(tempfile.mkdtemp(prefix="aib", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.minutes
@pytest.mark.timeout(1800)
def test_a_whole_search_leaves_no_secret_anywhere(tmp_path: Path, spec: Path, short_folder: Path) -> None:
    root, server = tmp_path / "runs", tmp_path / "server"
    server.mkdir()
    prepare_store(local_tracking_uri(server))
    port = free_port()
    with s3_server(tmp_path) as s3, mlflow_server(port, server):
        secrets = {
            **{name: value for name, value in IN_THE_ENVIRONMENT.items() if not name.startswith(("AWS_", "RAY_"))},
            **s3.writer,
            "RAY_AUTH_TOKEN": WORD * 8,
        }
        words = [WORD, s3.writer["AWS_SECRET_ACCESS_KEY"]]
        settings = {**environment(), **secrets, "RAY_TMPDIR": str(short_folder), "RAY_AUTH_MODE": "token"}
        uri = f"http://ann:{WORD}-in-uri@127.0.0.1:{port}"

        def run(*arguments: str) -> str:
            command = [sys.executable, "-m", "orchestrator", "--log-format", "json", *arguments]
            done = subprocess.run(
                [*command, "--root", str(root), "--tracking-uri", uri] if "status" not in arguments else command,
                capture_output=True,
                text=True,
                timeout=1500,
                env={**settings, "AIB_ROOT": str(root)},
                check=False,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout + done.stderr

        said = run("search", str(spec), "--storage", s3.uri)
        said += run("search", str(spec), "--resume", "--json")
        said += run("models", "--json") + run("pull", "aib-tiny@champion", str(tmp_path / "pulled"))
        said += run("doctor", "--no-ray") + run("status", "tiny", "--json")
        stored = tmp_path / "stored"
        store = ObjectStore(Bucket.from_uri(s3.uri), "studies/tiny/trials/f00000-seed1")
        for number, key in enumerate(store.bucket.list("studies")):
            stored.mkdir(exist_ok=True)
            store.bucket.get(f"studies/{key}", stored / str(number))
    assert len(list(stored.iterdir())) > 4
    for word in words:
        assert word.lower() not in said.lower()
        for folder in (root, server, stored, tmp_path / "pulled", short_folder):
            files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
            assert files, folder
            assert [str(path) for path in files if word.lower().encode() in path.read_bytes().lower()] == []
