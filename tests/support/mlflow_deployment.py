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


BUCKET = "mlflow"


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """The server of this test run."""

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

    def stored(self) -> dict[str, bytes]:
        """Every object of the store, by its key."""
        import boto3

        bucket = boto3.resource(
            "s3",
            endpoint_url=self.settings["MLFLOW_S3_ENDPOINT_URL"],
            aws_access_key_id=self.settings["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.settings["AWS_SECRET_ACCESS_KEY"],
            region_name=self.settings["AWS_DEFAULT_REGION"],
        ).Bucket(BUCKET)
        return {entry.key: entry.get()["Body"].read() for entry in bucket.objects.all()}

    def tables(self) -> dict[str, str]:
        """Every row of the database as text, by its table."""
        import psycopg2

        keys = {name.removeprefix("PG").lower(): value for name, value in self.settings.items() if name[:2] == "PG"}
        with psycopg2.connect(dbname="mlflow", **keys) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            found = {}
            for (table,) in cursor.fetchall():
                cursor.execute(f'SELECT * FROM "{table}"')
                found[table] = "\n".join(map(str, cursor.fetchall()))
        return found
