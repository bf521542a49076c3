import hashlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from orchestrator.cli.app import main
from orchestrator.errors import PreflightError
from orchestrator.registry.pull import load_registered, pull
from orchestrator.registry.versions import Version
from tests.orchestrator.registry.conftest import Registry, export_tiny, random_images
from tests.orchestrator.registry.test_publish import NAME, publish_tiny
from trainables.errors import CheckpointError
from trainables.evaluation.inference import infer
from trainables.export import FILES, load_exported

Locate = Callable[[Registry, Version], Path]


@pytest.mark.parametrize("reference", [NAME, f"{NAME}@champion", f"{NAME}/1", f"models:/{NAME}@champion"])
def test_a_pulled_folder_is_the_exported_one(
    registry: Registry, exported: Path, tmp_path: Path, reference: str
) -> None:
    publish_tiny(registry, exported)
    pulled = pull(registry.uri, reference, tmp_path / "deep" / "pulled")
    assert {path.name: path.read_bytes() for path in pulled.iterdir()} == {
        path.name: path.read_bytes() for path in exported.iterdir()
    }
    assert [path.name for path in pulled.parent.iterdir()] == ["pulled"]
    assert modes(pulled) == modes(exported)


def modes(folder: Path) -> dict[str, int]:
    """The modes of a folder and of its files, by name; the folder's own is that of `.`."""
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}


@pytest.mark.parametrize(("umask", "folder", "file"), [(0o022, 0o755, 0o644), (0o077, 0o700, 0o600)])
def test_exported_files_have_the_modes_of_the_umask(umask: int, folder: int, file: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        found = modes(export_tiny(tmp_path / "export"))
    finally:
        os.umask(before)
    assert found == {".": folder, **dict.fromkeys(FILES, file)}


def test_a_registered_model_predicts_as_the_exported_one(registry: Registry, exported: Path) -> None:
    publish_tiny(registry, exported)
    version, loaded = load_registered(registry.uri, NAME)
    assert version.version == "1"
    images = random_images(3)
    expected = infer(load_exported(exported), images)
    assert (infer(loaded, images).probabilities_NC == expected.probabilities_NC).all()


def test_an_empty_folder_is_filled_and_a_full_one_left_alone(
    registry: Registry, exported: Path, tmp_path: Path
) -> None:
    publish_tiny(registry, exported)
    (tmp_path / "empty").mkdir()
    assert load_exported(pull(registry.uri, NAME, tmp_path / "empty")).config.seed == 0
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(PreflightError, match="not an empty folder"):
        pull(registry.uri, NAME, tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


def _truncate(stored: Path) -> None:
    os.truncate(stored / "model.safetensors", 1000)


def _drop_pickle(stored: Path) -> None:
    (stored / "model.pkl").write_bytes(b"\x80\x04.")


def _swap_weights_and_manifest(stored: Path) -> None:
    weights = load_file(stored / "model.safetensors")
    save_file({name: value * 0 for name, value in weights.items()}, stored / "model.safetensors")
    content = (stored / "model.safetensors").read_bytes()
    manifest = json.loads((stored / "manifest.json").read_text())
    facts = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest["files"]["model.safetensors"] = facts
    (stored / "manifest.json").write_text(json.dumps(manifest))


def _link_out(stored: Path) -> None:
    (stored / "notes").symlink_to("/etc/hostname")


def _link_weights_to_others(stored: Path) -> None:
    (stored / "model.safetensors").unlink()
    (stored / "model.safetensors").symlink_to("/etc/hostname")


def _name_files_outside(stored: Path) -> None:
    manifest = json.loads((stored / "manifest.json").read_text())
    manifest["files"]["../../../../outside"] = manifest["files"].pop("README.md")
    (stored / "manifest.json").write_text(json.dumps(manifest))


def _flip_in_config(stored: Path) -> None:
    content = bytearray((stored / "config.json").read_bytes())
    content[-3] ^= 1
    (stored / "config.json").write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (_truncate, "model.safetensors"),
        (_drop_pickle, "model.pkl"),
        (_swap_weights_and_manifest, "manifest.json"),
        (_link_out, "notes"),
        (_link_weights_to_others, "model.safetensors"),
        (_name_files_outside, "manifest.json"),
        (_flip_in_config, "config.json"),
    ],
)
def test_what_was_altered_in_the_store_is_refused_and_leaves_no_folder(
    registry: Registry,
    exported: Path,
    tmp_path: Path,
    stored_files: Locate,
    damage: Callable[[Path], None],
    named: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(stored_files(registry, publish_tiny(registry, exported)))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CheckpointError, match=named):
        pull(registry.uri, NAME, tmp_path / "pulled")
    with pytest.raises(CheckpointError, match=named):
        load_registered(registry.uri, NAME)
    assert sorted(tmp_path.iterdir()) == before
    for verb in (["pull", NAME, str(tmp_path / "pulled")], ["evaluate", f"models:/{NAME}"], ["predict", NAME, "a.png"]):
        with pytest.raises(SystemExit) as leaving:
            main([*verb, "--root", str(tmp_path / "root"), "--tracking-uri", registry.uri])
        message = capsys.readouterr().err
        assert (leaving.value.code, "Traceback" in message) == (1, False), message
        assert named in message
    assert sorted(tmp_path.iterdir()) == before
