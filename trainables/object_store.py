"""Checkpoints in an S3-compatible object store: written and verified here, uploaded with the manifest last.

    PREFIX/epoch_000007-5f3a…/best.safetensors … manifest.json

Nothing is overwritten: every upload has a folder name of its own, so that a lost worker that is still writing cannot
mix its files with its successor's. One without a manifest is half-uploaded and never read.
"""

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trainables.bucket import Bucket
from trainables.checkpoint import MANIFEST, listed_files, verify
from trainables.checkpoint_store import KEEP_CHECKPOINTS
from trainables.data.scratch import scratch_folder
from trainables.errors import CheckpointError
from trainables.node_cache import node_cache

_NAME = re.compile(r"epoch_\d{6}-[0-9a-f]{16}")


@dataclass(frozen=True)
class ObjectStore:
    """The checkpoints of one trial under `prefix` in a bucket."""

    bucket: Bucket
    prefix: str

    def save(self, epoch: int, write: Callable[[Path], Path]) -> None:
        name = f"epoch_{epoch:06d}-{uuid.uuid4().hex[:16]}"
        with _scratch() as scratch:
            folder = write(scratch / name)
            for file in sorted(verify(folder)):
                self.bucket.put(folder / file, self._key(name, file))
            self.bucket.put(folder / MANIFEST, self._key(name, MANIFEST))

    @contextmanager
    def newest(self) -> Iterator[Path | None]:
        with _scratch() as scratch:
            yield next((folder for name in self._complete() if (folder := self._sound(name, scratch))), None)

    @contextmanager
    def named(self, name: str) -> Iterator[Path]:
        with _scratch() as scratch:
            yield self._download(name, scratch)

    def prune(self, keep: int = KEEP_CHECKPOINTS) -> None:
        kept = self._complete()[:keep]
        for name, files in self._listed().items():
            if name not in kept:
                # Without its manifest first, so that what a kill leaves of it is a half one.
                for file in sorted(files, key=lambda file: file != MANIFEST):
                    self.bucket.remove(self._key(name, file))

    def _key(self, name: str, file: str) -> str:
        return f"{self.prefix}/{name}/{file}"

    def _listed(self) -> dict[str, list[str]]:
        """Every checkpoint's name and the names of its objects, whole or not."""
        found: dict[str, list[str]] = {}
        for path in self.bucket.list(self.prefix):
            name, _, file = path.partition("/")
            if _NAME.fullmatch(name) and file:
                found.setdefault(name, []).append(file)
        return found

    def _complete(self) -> list[str]:
        """Names of those with a manifest, the newest epoch first."""
        return sorted((name for name, files in self._listed().items() if MANIFEST in files), reverse=True)

    def _sound(self, name: str, scratch: Path) -> Path | None:
        try:
            return self._download(name, scratch)
        except CheckpointError:
            return None

    def _download(self, name: str, scratch: Path) -> Path:
        folder = scratch / name
        folder.mkdir()
        try:
            # Objects that the manifest does not list are not ours to read, so they are not fetched either.
            self.bucket.get(self._key(name, MANIFEST), folder / MANIFEST)
            for file in sorted(listed_files(folder)):
                self.bucket.get(self._key(name, file), folder / file)
        except FileNotFoundError as error:
            raise CheckpointError(f"the checkpoint {self._key(name, '')} is incomplete ({error}).") from None
        verify(folder)
        return folder


@contextmanager
def _scratch() -> Iterator[Path]:
    with scratch_folder(node_cache(), "checkpoint") as folder:
        yield folder
