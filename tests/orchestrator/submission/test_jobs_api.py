"""Connecting to a wrong address: each cause gives one clear error, and nothing is uploaded."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from orchestrator.cli.app import main

SPEC = """
name: bad
trial: {model: vgg-aib-qt, model.width: 0.0625, dataset: cluttered-digits, epochs: 2, data.image_size: 16}
space: {bottleneck.beta: {power_of_ten: [1, 2]}}
trials: 2
"""


class Answering(BaseHTTPRequestHandler):
    """An HTTP server: `answers` maps paths to bodies, `asked` lists the requests it received."""

    answers: ClassVar[dict[str, str]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(f"GET {self.path}")
        answer = self.answers.get(self.path)
        self.send_response(404 if answer is None else 200)
        self.end_headers()
        self.wfile.write((answer or "not here").encode())

    def do_POST(self) -> None:
        self.asked.append(f"POST {self.path}")
        self.send_error(500)

    do_PUT = do_POST

    def log_message(self, *_: object) -> None:
        """Tests are silent."""


@pytest.fixture
def server() -> Iterator[str]:
    Answering.answers, Answering.asked = {}, []
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_address[1]}"
    listening.shutdown()
    listening.server_close()


@pytest.fixture(autouse=True)
def with_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "token"
    path.write_text("t" * 32)
    for name in ("RAY_AUTH_TOKEN", "RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "AIB_ROOT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    return path


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as leaving:
        main(arguments)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert captured.err.count("aib: ") == 1
    assert not [request for request in Answering.asked if not request.startswith("GET")]
    return int(leaving.value.code or 0), captured.err


def submit_refused(spec: Path, address: str, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    return refused(["submit", str(spec), "--address", address, "--root", "/shared/aib", *more], capsys)


def test_no_server_at_the_address(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = submit_refused(spec, "http://127.0.0.1:1", capsys)
    assert code == 3
    assert "no cluster answers at http://127.0.0.1:1" in said


def test_there_is_no_token(spec: Path, server: str, with_a_token: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_a_token.unlink()
    code, said = submit_refused(spec, server, capsys)
    assert code == 3
    assert "there is no token" in said
    assert "RAY_AUTH_TOKEN_PATH" in said
    assert not Answering.asked


def test_what_answers_has_no_jobs_api(spec: Path, server: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = submit_refused(spec, server, capsys)
    assert code == 3
    assert "has no Ray Jobs API" in said
    Answering.answers = {"/api/version": "<html>a page</html>"}
    assert submit_refused(spec, server, capsys)[0] == 3


def test_another_version_of_ray_is_refused(spec: Path, server: str, capsys: pytest.CaptureFixture[str]) -> None:
    Answering.answers = {"/api/version": json.dumps({"ray_version": "2.31.0"}), "/api/jobs/": "[]"}
    code, said = submit_refused(spec, server, capsys)
    assert code == 3
    assert "2.31.0" in said
    assert "constraints.txt" in said


def test_the_address_given_is_not_overruled_by_the_environment(
    spec: Path, server: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", server)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", server)
    assert "http://127.0.0.1:1" in submit_refused(spec, "http://127.0.0.1:1", capsys)[1]
    assert not Answering.asked


def test_status_and_doctor_refuse_alike(spec: Path, server: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = refused(["status", "bad", "--address", server], capsys)
    assert code == 3
    assert "has no Ray Jobs API" in said


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--set", "sampler.nmae=tpe"], "sampler.nmae"),
        (["--set", "trial.bottleneck.bta=0.1"], "bottleneck.bta"),
        (["--set", "space={bottleneck.bta: {choice: [0.1]}}"], "bottleneck.beta"),
        (["--set", "objectives=[{metric: val_eror_pct, goal: minimize}]"], "val_error_pct"),
        (["--set", "resources.workers_per_trial=4096"], "resources.workers_per_trial"),
        (["--root", "runs"], "absolute"),
        (["--storage", "s3://"], "s3://BUCKET/PREFIX"),
        (["--tracking-uri", "mlruns"], "--tracking-uri"),
        (["--name", "../out"], "../out"),
    ],
)
def test_a_bad_search_is_refused_before_the_cluster_is_asked(
    more: list[str], named: str, spec: Path, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = submit_refused(spec, server, capsys, *more)
    assert code == 2
    assert named in said
    assert not Answering.asked


def test_a_label_without_a_value_is_a_usage_error(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["submit", str(spec), "--address", "http://127.0.0.1:1", "--driver-label", "spot"])
    assert leaving.value.code == 2
    assert "LABEL=VALUE" in capsys.readouterr().err
