"""An exported folder loads only if it is complete and unchanged, and loading runs no code from it."""

import hashlib
import json
import os
import pickle
import re
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.orchestrator.registry.conftest import CLASSES, METRICS, export_tiny, random_images, tiny_config
from trainables.checkpoints.checkpoint import write_manifest
from trainables.errors import CheckpointError
from trainables.evaluation.evaluate import Draws
from trainables.evaluation.inference import infer
from trainables.export import CONFIG_BYTES, load_exported
from trainables.models.build import build_model


def test_a_loaded_model_is_the_exported_one(exported: Path) -> None:
    loaded = load_exported(exported)
    assert (loaded.config, loaded.class_names, loaded.metrics) == (tiny_config(), CLASSES, METRICS)
    expected = build_model(tiny_config(), len(CLASSES)).state_dict()
    assert all(torch.equal(expected[name], value) for name, value in loaded.model.state_dict().items())
    assert not loaded.model.training


def test_no_file_of_the_export_is_a_pickle_or_an_archive(exported: Path) -> None:
    assert {path.name for path in exported.iterdir()} == {
        "model.safetensors",
        "config.json",
        "README.md",
        "manifest.json",
    }
    assert all(path.read_bytes()[:1] != b"\x80" and path.read_bytes()[:2] != b"PK" for path in exported.iterdir())


def test_exporting_again_replaces_the_folder_and_leaves_nothing_aside(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "export"
    export_tiny(folder, seed=0)
    export_tiny(folder, seed=1)
    assert load_exported(folder).config.seed == 1
    assert [path.name for path in folder.parent.iterdir()] == ["export"]


def _flip_a_byte(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def _truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    os.truncate(path, path.stat().st_size - 100)


def _edit_config(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(path.read_text().replace("22.25", "02.25"))


def _drop_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _link_weights(folder: Path) -> None:
    shutil.move(folder / "model.safetensors", folder.parent / "elsewhere")
    (folder / "model.safetensors").symlink_to(folder.parent / "elsewhere")


def _add_link(folder: Path) -> None:
    (folder / "extra.json").symlink_to("/etc/hostname")


def _drop_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def _break_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"files": {"model.safetensors": 3}}')


def _empty_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"files": {}}')


def _list_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"files": ["model.safetensors"]}')


def _edit(folder: Path, name: str, content: bytes) -> None:
    """Changes a file and its manifest entry, as an attacker who knows the check would."""
    (folder / name).write_bytes(content)
    (folder / "manifest.json").unlink()
    write_manifest(folder)


def _describe(folder: Path, **changes: object) -> None:
    facts = json.loads((folder / "config.json").read_text())
    trial = {**facts["trial"], **changes.pop("trial", {})}  # type: ignore[dict-item]
    _edit(folder, "config.json", json.dumps({**facts, "trial": trial, **changes}).encode())


def _flip_config_byte(folder: Path) -> None:
    content = bytearray((folder / "config.json").read_bytes())
    content[20] ^= 1
    (folder / "config.json").write_bytes(content)


def _pipe_for_a_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")


def _pipe_for_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")


def _endless_manifest(folder: Path) -> None:
    os.truncate(folder / "manifest.json", 2**40)


def _deep_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"files":' + "[" * 100_000)


def _lead_out(folder: Path) -> None:
    (folder.parent / "outside").write_text("x")
    listed = json.loads((folder / "manifest.json").read_text())
    listed["files"]["../outside"] = {"bytes": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(listed))


def _lead_to_root(folder: Path) -> None:
    listed = json.loads((folder / "manifest.json").read_text())
    listed["files"]["/etc/hostname"] = listed["files"].pop("README.md")
    (folder / "manifest.json").write_text(json.dumps(listed))


def _huge_header(folder: Path) -> None:
    """Eight bytes that announce a header of 2^62 bytes."""
    _edit(folder, "model.safetensors", (2**62).to_bytes(8, "little") + b"{}")


def _long_header(folder: Path) -> None:
    """A header of 90 MB that names no tensor."""
    _edit(folder, "model.safetensors", (90_000_000).to_bytes(8, "little") + b" " * 90_000_000)


def _tensor_beyond_the_file(folder: Path) -> None:
    header = b'{"w":{"dtype":"F32","shape":[1073741824,1024],"data_offsets":[0,4398046511104]}}'
    _edit(folder, "model.safetensors", len(header).to_bytes(8, "little") + header)


def _deep_config(folder: Path) -> None:
    _edit(folder, "config.json", b"[" * 100_000)


def _endless_config(folder: Path) -> None:
    _edit(folder, "config.json", b" " * (CONFIG_BYTES + 1))


def _model_of_terabytes(folder: Path) -> None:
    _describe(folder, trial={"model.width": 4.0, "bottleneck.latent_dim": 65_536})


def _a_million_classes(folder: Path) -> None:
    _describe(folder, class_names=[str(i) for i in range(1_000_000)])


def _other_types(folder: Path) -> None:
    _describe(folder, class_names="abc")


def _metrics_of_text(folder: Path) -> None:
    _describe(folder, metrics=["abc"])


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (_flip_config_byte, "config.json"),
        (_pipe_for_a_manifest, "manifest.json"),
        (_pipe_for_weights, "model.safetensors"),
        (_endless_manifest, "manifest.json"),
        (_deep_manifest, "manifest.json"),
        (_lead_out, "../outside"),
        (_lead_to_root, "/etc/hostname"),
        (_huge_header, "cannot be loaded"),
        (_long_header, "cannot be loaded"),
        (_tensor_beyond_the_file, "cannot be loaded"),
        (_deep_config, "cannot be loaded"),
        (_endless_config, "config.json"),
        (_model_of_terabytes, "does not hold the weights of the model"),
        (_a_million_classes, "does not hold the weights of the model"),
        (_other_types, "class_names"),
        (_metrics_of_text, "cannot be loaded"),
        (_flip_a_byte, "model.safetensors"),
        (_truncate, "model.safetensors"),
        (_edit_config, "config.json"),
        (_drop_weights, "model.safetensors"),
        (_link_weights, "model.safetensors"),
        (_add_link, "extra.json"),
        (_drop_manifest, "manifest.json"),
        (_break_manifest, "manifest.json"),
        (_empty_manifest, "manifest.json"),
        (_list_manifest, "manifest.json"),
    ],
)
def test_a_damaged_folder_is_refused_and_the_file_named(
    exported: Path, damage: Callable[[Path], None], named: str
) -> None:
    damage(exported)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match=re.escape(named)):
        load_exported(exported)
    # ru_maxrss is in kB. No damaged folder may cost more memory than valid files of the allowed size.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000


class Poison:
    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self._canary}",)


@pytest.mark.parametrize("name", ["python_model.pkl", "model.safetensors", "config.json"])
def test_a_pickle_in_the_folder_is_never_run(exported: Path, tmp_path: Path, name: str) -> None:
    canary = tmp_path / "canary"
    (exported / name).write_bytes(pickle.dumps(Poison(canary)))
    if name != "python_model.pkl":  # an attacker who knows the manifest
        manifest = json.loads((exported / "manifest.json").read_text())
        content = (exported / name).read_bytes()
        manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        (exported / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError):
        load_exported(exported)
    assert not canary.exists()


def test_an_image_gets_the_same_answer_alone_and_among_others(exported: Path) -> None:
    loaded, images = load_exported(exported), random_images(5)
    together, alone = infer(loaded, images), infer(loaded, images[3:4])
    assert (together.probabilities_NC[3] == alone.probabilities_NC[0]).all()
    assert (together.maps_Nhw[3] == alone.maps_Nhw[0]).all()
    assert together.probabilities_NC.sum(1) == pytest.approx(1.0, abs=1e-5)


def test_more_draws_change_the_answer_and_fewer_are_repeatable(exported: Path) -> None:
    loaded, images = load_exported(exported), random_images(2)
    one, again, many = (infer(loaded, images, draws) for draws in (Draws(1, 1), Draws(1, 1), Draws(8, 8)))
    assert (one.probabilities_NC == again.probabilities_NC).all()
    assert (one.probabilities_NC != many.probabilities_NC).any()
