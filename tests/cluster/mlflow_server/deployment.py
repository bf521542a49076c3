"""What a test knows of the running server: its address, its accounts, what it was started with."""

import base64
import json
import secrets
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

ADMIN = "admin"


class Account(NamedTuple):
    """Somebody who may sign in."""

    name: str
    password: str

    @property
    def environment(self) -> dict[str, str]:
        return {"MLFLOW_TRACKING_USERNAME": self.name, "MLFLOW_TRACKING_PASSWORD": self.password}

    @property
    def header(self) -> str:
        return "Basic " + base64.b64encode(f"{self.name}:{self.password}".encode()).decode()


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """The server of this session."""

    uri: str
    port: int
    admin: Account
    settings: dict[str, str]
    log: Path

    def add_user(self, name: str) -> Account:
        """A user without permissions of their own."""
        made = Account(name, secrets.token_hex(12))
        self.call("users/create", {"username": made.name, "password": made.password})
        return made

    def call(self, what: str, body: dict[str, Any], version: str = "2.0") -> Any:
        """A request of the administrator's, to `/api/VERSION/mlflow/WHAT`."""
        request = urllib.request.Request(
            f"{self.uri}/api/{version}/mlflow/{what}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": self.admin.header},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
