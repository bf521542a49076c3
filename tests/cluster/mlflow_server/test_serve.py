"""`cluster/mlflow/serve.sh`: its required settings, and the requests that it admits."""

import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from tests.cluster.mlflow_server.conftest import SERVE
from tests.support.mlflow_deployment import Deployment
from tests.support.server_processes import without_ours

pytestmark = pytest.mark.slow


def status(url: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            code: int = answer.status
            return code
    except urllib.error.HTTPError as refused:
        return refused.code


def test_serve_names_every_setting_that_is_missing() -> None:
    given = {"PGHOST": "127.0.0.1", "MLFLOW_ARTIFACTS_DESTINATION": "s3://x", "MLFLOW_S3_ENDPOINT_URL": "http://s3"}
    done = subprocess.run(
        [str(SERVE)],
        env={**without_ours(), **given, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    said = done.stderr.split("Copy ")[0]
    assert "PGPASSWORD" in said
    assert "AWS_SECRET_ACCESS_KEY" in said
    assert "MLFLOW_SERVER_ALLOWED_HOSTS" in said
    assert "PGHOST" not in said


def test_only_those_who_sign_in_under_an_allowed_name_get_an_answer(deployment: Deployment) -> None:
    page = f"{deployment.uri}/api/2.0/mlflow/users/get?username=admin"
    signed_in = {"Authorization": deployment.admin.header}
    assert status(page) == 401
    assert status(page, Authorization="Basic YWRtaW46cGFzc3dvcmQxMjM0") == 401
    assert status(page, **signed_in) == 200
    assert status(page, **signed_in, Host="evil.example.org") == 403
