"""The MLflow server of `cluster/mlflow/serve.sh`, with a PostgreSQL server and an object store of this test session."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.free_port import free_port
from tests.support.mlflow_deployment import ADMIN, BUCKET, Account, Deployment
from tests.support.repository import ROOT
from tests.support.server_processes import listens, serving, without_ours
from tests.support.server_searches import Searched, end, start, write_spec

SERVE = ROOT / "cluster" / "mlflow" / "serve.sh"


def _postgres_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = shutil.which("initdb")
    if not found and initdb is None:
        pytest.skip("PostgreSQL's server is not installed: apt-get install postgresql")
    return found[-1].parent if found else Path(str(initdb)).parent


@pytest.fixture(scope="session")
def postgres() -> Iterator[dict[str, str]]:
    """libpq's variables for this test run's own server, with passwords on and an empty database `mlflow`."""
    programs = _postgres_programs()
    # It refuses to run as root, and no other user reaches pytest's own folders.
    user = "nobody" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="aib-postgres-"))
    password, port = secrets.token_hex(16), free_port()
    try:
        given = folder / "password"
        given.write_text(password)
        if user:
            for path in (folder, given):
                shutil.chown(path, user)
        subprocess.run(
            [
                *(str(programs / "initdb"), "--pgdata", str(folder / "data"), "--username", "mlflow"),
                *("--auth", "scram-sha-256", "--pwfile", str(given), "--no-sync", "--encoding", "UTF8"),
            ],
            user=user,
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=120,
        )
        variables = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "mlflow", "PGPASSWORD": password}
        command = [
            *(str(programs / "postgres"), "-D", str(folder / "data"), "-p", str(port), "-h", "127.0.0.1"),
            *("-k", str(folder), "-c", "fsync=off"),
        ]
        with serving(
            command, folder / "log", lambda: _answers(programs, variables), env=without_ours(), cwd=folder, user=user
        ):
            subprocess.run(
                [str(programs / "createdb"), "mlflow"], env={**os.environ, **variables}, check=True, timeout=60
            )
            yield variables
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _answers(programs: Path, variables: dict[str, str]) -> bool:
    asked = [str(programs / "pg_isready"), "--quiet"]
    return subprocess.run(asked, env={**os.environ, **variables}, check=False, timeout=30).returncode == 0


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Address and keys of an S3 server with an empty bucket."""
    pytest.importorskip("moto", reason="needs moto[server], which '.[dev]' installs")
    boto3 = pytest.importorskip("boto3", reason="needs boto3, which '.[dev]' installs")
    folder, port = tmp_path_factory.mktemp("object-store"), free_port()
    url = f"http://127.0.0.1:{port}"
    variables = {
        "MLFLOW_S3_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": secrets.token_hex(10),
        "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with serving(command, folder / "log", lambda: listens(port), env=without_ours(), cwd=folder):
        boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
            region_name=variables["AWS_DEFAULT_REGION"],
        ).create_bucket(Bucket=BUCKET)
        yield variables


@pytest.fixture(scope="session")
def deployment(
    postgres: dict[str, str], object_store: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """The complete server with two workers; it answers at this address only."""
    folder, port = tmp_path_factory.mktemp("mlflow-server"), free_port()
    admin = Account(ADMIN, secrets.token_hex(12))
    settings = {
        **postgres,
        **object_store,
        "MLFLOW_ARTIFACTS_DESTINATION": f"s3://{BUCKET}",
        "MLFLOW_SERVER_ALLOWED_HOSTS": f"127.0.0.1:{port}",
        "MLFLOW_PORT": str(port),
        "MLFLOW_WORKERS": "2",
        "MLFLOW_AUTH_ADMIN_PASSWORD": admin.password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
        "PYTHON": sys.executable,
    }
    uri = f"http://127.0.0.1:{port}"
    log, env = folder / "log", {**without_ours(), **settings}
    with serving([str(SERVE)], log, lambda: _healthy(uri), env=env, cwd=folder):
        yield Deployment(uri=uri, port=port, admin=admin, settings=settings, log=log)


def _healthy(uri: str) -> bool:
    try:
        urllib.request.urlopen(f"{uri}/health", timeout=2).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="session")
def ann(deployment: Deployment) -> Account:
    """The account that runs the searches."""
    return deployment.add_user("ann")


@pytest.fixture(scope="session")
def bob(deployment: Deployment) -> Account:
    """An account that may read and owns nothing."""
    return deployment.add_user("bob")


@pytest.fixture(scope="session")
def searched(
    deployment: Deployment, ann: Account, digits_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Searched]:
    """Two searches, by study, that two drivers ran at the same time; both register under one name."""
    folder = tmp_path_factory.mktemp("searched")
    running = {}
    for seed, name in enumerate(("left", "right")):
        root = folder / name / "runs"
        shutil.copytree(digits_root, root / "data")
        spec = write_spec(folder, name, seed)
        running[name] = start(deployment.uri, ann, folder / name, "search", str(spec), "--root", str(root), "--json")
    found = {}
    try:
        for name, process in running.items():
            out, err = process.communicate(timeout=550)
            assert process.returncode == 0, err
            found[name] = Searched(folder / name / "runs", json.loads(out), out + err)
    finally:
        for process in running.values():
            end(process)
    return found


@pytest.fixture
def as_ann(ann: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs this process in as ann."""
    for name, value in ann.environment.items():
        monkeypatch.setenv(name, value)
