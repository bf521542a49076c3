"""Whom other users of a cluster see as the owner of a study."""

import os
import socket
import subprocess
import sys

import pytest

from orchestrator.process.owner import OWNER, owner


def test_an_owner_is_the_account_and_the_host_or_what_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OWNER, raising=False)
    assert owner().endswith(f"@{socket.gethostname()}")
    assert len(owner().split("@")[0]) > 0
    monkeypatch.setenv(OWNER, "ann@desk")
    assert owner() == "ann@desk"


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")
def test_a_user_without_a_name_has_a_number() -> None:
    code = "import os; from orchestrator.process.owner import owner; os.setuid(54321); print(owner())"
    kept = {
        name: value for name, value in os.environ.items() if name not in ("LOGNAME", "USER", "LNAME", "USERNAME", OWNER)
    }
    done = subprocess.run([sys.executable, "-c", code], env=kept, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("uid54321@")
