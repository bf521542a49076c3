"""ImageNet weights from a real file in torchvision's layout: found, checked, downloaded, loaded, once per trial."""

import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torchvision.models.vgg import cfgs, make_layers

from tests.support.tiny_trial import tiny_trial
from trainables.config.trial import TrialConfig
from trainables.data.arrow_store import open_store
from trainables.errors import DataError
from trainables.models import pretrained
from trainables.models.build import build_model
from trainables.models.pretrained import WEIGHTS, fetch, load_imagenet, weight_file
from trainables.runtime.runtime import Runtime
from trainables.training.state import Training

CONFIG = TrialConfig.from_dict({"model": "vgg-aib", "dataset": "cub200", "data.image_size": 32})
NOWHERE = "http://127.0.0.1:9/"  # the discard port, where no server answers


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weight file of VGG-16 with random numbers, named by its digest like the published ones."""
    folder = tmp_path_factory.mktemp("published")
    torch.manual_seed(0)
    state = {f"features.{name}": value for name, value in make_layers(cfgs["D"], batch_norm=False).state_dict().items()}
    return save(folder, state | {"classifier.6.bias": torch.zeros(1000)})


def save(folder: Path, state: dict[str, torch.Tensor]) -> Path:
    torch.save(state, folder / "unnamed")
    digest = hashlib.sha256((folder / "unnamed").read_bytes()).hexdigest()
    return (folder / "unnamed").rename(folder / f"vgg16-{digest[:8]}.pth")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty torch cache, on a machine without a network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(pretrained, "_url", lambda _model: NOWHERE)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def expect(monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    monkeypatch.setitem(WEIGHTS, "vgg-16", WEIGHTS["vgg-16"]._replace(file=file))


def test_the_backbone_gets_the_files_weights_and_the_rest_stays(
    cache: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect(monkeypatch, published.name)
    (cache / published.name).symlink_to(published)
    model = build_model(CONFIG, 5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    load_imagenet(model, CONFIG.model)
    given = torch.load(published, weights_only=True)
    after = model.state_dict()
    assert sum(name.startswith("features.") for name in after) == 26
    for name, value in after.items():
        assert torch.equal(value, given[name] if name.startswith("features.") else before[name])


def test_an_altered_file_is_refused_with_both_digests(
    cache: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect(monkeypatch, published.name)
    (cache / published.name).write_bytes(published.read_bytes()[:-1])
    expected = published.stem.rsplit("-", 1)[1]
    with pytest.raises(
        DataError, match=rf"{cache / published.name} does not hold .* vgg-16.* allowed: {expected}\. Rem"
    ):
        fetch(CONFIG.model)


def test_without_file_and_network_the_message_says_how_to_get_it(cache: Path) -> None:
    with pytest.raises(DataError) as caught:
        fetch(CONFIG.model)
    for part in (str(cache / "vgg16-397923af.pth"), NOWHERE, "TORCH_HOME", "set model.pretrained to none"):
        assert part in str(caught.value)
    assert list(cache.iterdir()) == []


@pytest.fixture
def server(published: Path) -> Iterator[str]:
    """An HTTP server for the folder of the published file."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(published.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_address[1]}/"
        serving.shutdown()
        thread.join()


def test_a_missing_file_is_downloaded_once(
    cache: Path, published: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expect(monkeypatch, published.name)
    monkeypatch.setattr(pretrained, "_url", lambda _model: server + published.name)
    path = fetch(CONFIG.model)
    assert path == weight_file(CONFIG.model) == cache / published.name
    assert path.read_bytes() == published.read_bytes()
    assert list(cache.iterdir()) == [path]
    monkeypatch.setattr(pretrained, "_url", lambda _model: NOWHERE)
    assert fetch(CONFIG.model) == path


def test_a_download_with_another_digest_leaves_nothing(
    cache: Path, published: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "_url", lambda _model: server + published.name)
    with pytest.raises(DataError, match="the download has another SHA-256"):
        fetch(CONFIG.model)
    assert list(cache.iterdir()) == []


def test_a_file_of_another_network_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(cache, {"features.0.weight": torch.zeros(2, 3, 3, 3)})
    expect(monkeypatch, path.name)
    with pytest.raises(DataError, match=r"does not fit vgg-16: features\.0\.bias, .* missing or of another shape"):
        load_imagenet(build_model(CONFIG, 5), CONFIG.model)


def test_only_a_fresh_training_asks_for_the_file(digits_root: Path, cache: Path) -> None:
    changes = {"model__backbone": "vgg-16", "model__pretrained": "imagenet", "model__width": 1.0}
    config, runtime = tiny_trial(model="vgg-aib", **changes), Runtime(data_root=digits_root)
    store = open_store(digits_root, "cluttered-digits", 16)
    Training.start(config, store, runtime, fresh=False)
    with pytest.raises(DataError, match="could not download"):
        Training.start(config, store, runtime)


def test_torchvision_still_publishes_under_these_names() -> None:
    models = (CONFIG.model, TrialConfig.from_dict({"model": "wrn-aib", "dataset": "cub200"}).model)
    assert all(pretrained._url(model).endswith(f"/{WEIGHTS[model.backbone].file}") for model in models)
