"""compose.yaml is valid by the schema of the Compose specification."""

import json
import re
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from tests.support.cluster_files import CLUSTER, TEXT, documents


@pytest.fixture
def compose() -> dict[str, Any]:
    return documents("compose.yaml")[0]


def schema() -> dict[str, Any]:
    vendored = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    found: dict[str, Any] = json.loads(vendored.read_text(encoding="utf-8"))
    return found


def test_the_compose_specification_accepts_it(compose: dict[str, Any]) -> None:
    jsonschema.validate(compose, schema())


def test_the_schema_sees_mistakes(compose: dict[str, Any]) -> None:
    compose["services"]["head"]["portz"] = ["1:1"]
    with pytest.raises(jsonschema.ValidationError, match="portz"):
        jsonschema.validate(compose, schema())


def test_what_is_published_is_on_loopback(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert len(published) == 4
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_what_others_wait_for_can_become_healthy(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        for other, wanted in service.get("depends_on", {}).items():
            assert other in services, f"{name} waits for {other}"
            if wanted["condition"] == "service_healthy":
                has_check = "healthcheck" in services[other] or services[other]["image"].startswith("aib:")
                assert has_check, f"{name} would wait for {other} for ever"


def test_mounted_files_are_there(compose: dict[str, Any]) -> None:
    named = set(compose["volumes"])
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in named or (CLUSTER / source).is_file(), source


def test_the_example_lists_every_secret_that_is_asked_for_and_holds_none() -> None:
    asked = set(re.findall(r"\$\{(\w+):\?", TEXT["cluster/compose.yaml"]))
    lines = [line for line in TEXT["cluster/compose.env.example"].splitlines() if line and not line.startswith("#")]
    given = dict(line.split("=", 1) for line in lines)
    assert asked <= set(given)
    assert {given[name] for name in asked} == {""}
