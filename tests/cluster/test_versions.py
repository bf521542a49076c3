"""Versions come from constraints.txt and pyproject.toml; no deployment file holds a secret."""

import configparser
import re
import tomllib

import pytest
import yaml

from tests.support.cluster_files import ROOT, TEXT, documents, image_names, pinned

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_every_image_is_pinned() -> None:
    images = image_names()
    assert len(images) > 6
    for image, files in images.items():
        tag = image.rpartition(":")[2] if ":" in image.rpartition("/")[2] else ""
        assert tag, f"{files}: {image} has no tag"
        assert any(character.isdigit() for character in tag), f"{files}: {image} moves"


def test_our_own_image_has_the_projects_version() -> None:
    ours = {image for image in image_names() if re.match(r"(.*/)?aib:", image)}
    assert {image.rpartition(":")[2] for image in ours} == {PROJECT["version"]}
    assert f"--tag aib:{PROJECT['version']}" in TEXT["cluster/Dockerfile"]


@pytest.mark.parametrize("name", ["kuberay/raycluster.yaml", "kuberay/rayjob.yaml"])
def test_kuberay_is_told_rays_version(name: str) -> None:
    spec = documents(name)[0]["spec"]
    assert spec.get("rayClusterSpec", spec)["rayVersion"] == pinned("ray")


def test_the_image_has_a_python_that_the_project_supports_and_installs_by_the_constraints() -> None:
    text = TEXT["cluster/Dockerfile"]
    least = tuple(int(part) for part in PROJECT["requires-python"].removeprefix(">=").split("."))
    for version in re.findall(r"^FROM python:(\d+\.\d+)\.", text, re.MULTILINE):
        assert tuple(int(part) for part in version.split(".")) >= least
    assert "--constraint constraints.txt" in text
    installed = re.search(r"'\.\[(\w+)\]'", text)
    assert installed
    assert installed[1] in PROJECT["optional-dependencies"], "the image installs an extra that pyproject.toml lacks"


def test_the_image_is_not_root() -> None:
    assert re.findall(r"^USER (\S+)", TEXT["cluster/Dockerfile"], re.MULTILINE)[-1] == "${UID}"


def test_the_image_is_made_of_files_that_are_there_and_sent_to_the_builder() -> None:
    sent = {
        line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"
    }
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", TEXT["cluster/Dockerfile"], re.MULTILINE):
        for source in line.split():
            assert list(ROOT.glob(source)), source
            assert any(source == one or source.startswith(f"{one}/") for one in sent), f".dockerignore keeps {source}"


@pytest.mark.parametrize("name", sorted(TEXT))
def test_no_file_holds_a_secret(name: str) -> None:
    """The value of a secret name is empty, a reference, a file, or a placeholder."""
    for line in TEXT[name].splitlines():
        found = re.match(
            r"\s*(?:- )?\w*(?:PASSWORD|SECRET|SECRET_KEY|TOKEN|ACCESS_KEY\w*|password)\s*[:=]\s*(\S.*)", line
        )
        if found and "REPLACE" not in found[1]:
            assert re.match(r"[\"']?(\$|/|~|\{|token\b)", found[1]), f"{name}: {line.strip()}"
    assert not re.search(r"AKIA[0-9A-Z]{16}|-----BEGIN|\b[0-9a-f]{40,}\b", TEXT[name])


@pytest.mark.parametrize("name", sorted(name for name in TEXT if name.endswith((".yaml", ".yml"))))
def test_every_yaml_file_parses(name: str) -> None:
    assert all(isinstance(document, dict) for document in yaml.safe_load_all(TEXT[name]))


def test_the_mlflow_unit_is_not_root_and_takes_its_secrets_from_a_file() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # systemd tells capitals apart
    unit.read_string(TEXT["cluster/mlflow/mlflow.service"])
    assert set(unit.sections()) == {"Unit", "Service", "Install"}
    service = unit["Service"]
    assert service["User"] == "mlflow"
    assert service["EnvironmentFile"] == "/etc/aib/mlflow.env"
    assert service["ExecStart"].endswith("cluster/mlflow/serve.sh")
