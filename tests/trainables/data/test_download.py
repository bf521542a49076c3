"""Downloads from a server that the test starts."""

import hashlib
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tests.trainables.data.test_cifar import make_folder
from trainables.data import prepare as prepare_module
from trainables.data.prepare import prepare
from trainables.data.sources.download import Download, download
from trainables.data.sources.official import OFFICIAL
from trainables.errors import DataError


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder, and the address of a server for it."""
    monkeypatch.setenv("no_proxy", "*")
    (tmp_path / "served").mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served"))) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield tmp_path / "served", f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def test_files_arrive_under_their_names(server: tuple[Path, str], tmp_path: Path) -> None:
    served, address = server
    (served / "a.bin").write_bytes(b"abc")
    download("A", (Download(f"{address}/a.bin", md5(b"abc")),), tmp_path, "aib data prepare a --from PATH")
    assert (tmp_path / "a.bin").read_bytes() == b"abc"


@pytest.mark.parametrize(("content", "message"), [(b"abd", "has MD5 .*published is"), (None, "404")])
def test_wrong_or_missing_file_says_how_to_do_without(
    server: tuple[Path, str], tmp_path: Path, content: bytes | None, message: str
) -> None:
    served, address = server
    if content is not None:
        (served / "a.bin").write_bytes(content)
    file = Download(f"{address}/a.bin", md5(b"abc"))
    with pytest.raises(DataError, match=rf"could not download A from {address}/a\.bin .*{message}.*--from PATH"):
        download("A", (file,), tmp_path, "aib data prepare a --from PATH")


def test_downloaded_archive_is_prepared_and_not_kept(
    server: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, address = server
    folder, cifar, truth = make_folder(tmp_path / "made")
    archive = served / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as out:
        out.add(folder, "cifar-10-batches-py")
    file = Download(f"{address}/{archive.name}", md5(archive.read_bytes()))
    official = OFFICIAL["cifar10"]._replace(find=cifar.find, source=cifar.source, downloads=(file,))
    monkeypatch.setattr(prepare_module, "OFFICIAL", {"cifar10": official})
    store = prepare("cifar10", tmp_path / "data", 32)
    assert np.array_equal(store.splits["test"].labels_N, truth["test_batch"][1])
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["cifar10-32"]
