"""Stores a trial's checkpoints in an S3-compatible object store; the manifest is uploaded last.

    PREFIX/epoch_000007.1-5f3a…/best.safetensors … manifest.json

A checkpoint is written and verified on this node before the upload. Every upload has a folder name of its own, so that
a lost worker that is still writing cannot mix its files with its successor's. A folder without a manifest is half
uploaded and never read.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from trainables.checkpoints.bucket import Bucket
from trainables.checkpoints.checkpoint import MANIFEST, listed_files, verify
from trainables.checkpoints.checkpoint_name import Age, state_name, upload_age, upload_name
from trainables.checkpoints.checkpoint_store import KEEP_CHECKPOINTS, StoredCheckpoint, reading
from trainables.errors import CheckpointError, StorageError
from trainables.runtime.node_cache import node_cache
from trainables.runtime.progress import advance
from trainables.runtime.scratch import scratch_folder


@dataclass(frozen=True)
class ObjectStore:
    """The checkpoints of one trial under `prefix` in a bucket."""

    bucket: Bucket
    prefix: str

    def save(self, epoch: int, write: Callable[[Path], Path], step: int = 0) -> None:
        with self._storing(), _scratch() as scratch:
            attempts = [age.attempt for age in map(_age, self._listed()) if age[:2] == (epoch, step)]
            name = upload_name(state_name(epoch, step), 1 + max(attempts, default=0))
            folder = write(scratch / name)
            for file in sorted(verify(folder)):
                self.bucket.put(folder / file, self._key(name, file))
                advance()
            self.bucket.put(folder / MANIFEST, self._key(name, MANIFEST))

    @contextmanager
    def newest(self) -> Iterator[Path | None]:
        with ExitStack() as stack:
            with reading(self._place):
                scratch = stack.enter_context(_scratch())
                names = _complete(self._listed())
                found = next((folder for name in names if (folder := self._sound(name, scratch))), None)
            yield found

    @contextmanager
    def named(self, name: str) -> Iterator[Path]:
        with ExitStack() as stack:
            with reading(self._place):
                folder = self._download(name, stack.enter_context(_scratch()))
            yield folder

    def prune(self, keep: int = KEEP_CHECKPOINTS) -> None:
        with self._storing():
            listed = self._listed()
            newest_attempts = {_age(name)[:2]: name for name in reversed(_complete(listed))}
            kept = set(sorted(newest_attempts.values(), key=_age)[-keep:])
            for name, files in listed.items():
                if name not in kept:
                    self._remove(name, files)

    def listed(self) -> list[StoredCheckpoint]:
        found = self._listed()
        complete = _complete(found)
        halves = sorted(found.keys() - set(complete), key=_age, reverse=True)
        return [StoredCheckpoint(name, sum(found[name].values()), name in complete) for name in [*complete, *halves]]

    def remove(self, name: str) -> None:
        self._remove(name, self._listed().get(name, ()))

    def _remove(self, name: str, files: Iterable[str]) -> None:
        """Removes the manifest first, so that a kill leaves an incomplete checkpoint."""
        for file in sorted(files, key=lambda file: file != MANIFEST):
            self.bucket.remove(self._key(name, file))

    @contextmanager
    def _storing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError.unwritable(self._place, error) from None

    @property
    def _place(self) -> str:
        return f"{self.bucket.uri}, {self.prefix},"

    def _key(self, name: str, file: str) -> str:
        return f"{self.prefix}/{name}/{file}"

    def _listed(self) -> dict[str, dict[str, int]]:
        """Every checkpoint's name, complete or not, with its objects and their sizes in bytes."""
        found: dict[str, dict[str, int]] = {}
        for path, num_bytes in self.bucket.sizes(self.prefix).items():
            name, _, file = path.partition("/")
            if upload_age(name) and file:
                found.setdefault(name, {})[file] = num_bytes
        return found

    def _sound(self, name: str, scratch: Path) -> Path | None:
        try:
            return self._download(name, scratch)
        except CheckpointError:
            return None

    def _download(self, name: str, scratch: Path) -> Path:
        folder = scratch / name
        folder.mkdir()
        try:
            # Objects that the manifest does not list are not ours, so they are not downloaded.
            self.bucket.get(self._key(name, MANIFEST), folder / MANIFEST)
            for file in sorted(listed_files(folder)):
                self.bucket.get(self._key(name, file), folder / file)
        except FileNotFoundError as error:
            raise CheckpointError(f"the checkpoint {self._key(name, '')} is incomplete ({error}).") from None
        verify(folder)
        return folder


def _age(name: str) -> Age:
    age = upload_age(name)
    assert age is not None
    return age


def _complete(listed: Mapping[str, Collection[str]]) -> list[str]:
    """Names of the checkpoints with a manifest, the newest first: the last attempt of the last state."""
    return sorted((name for name, files in listed.items() if MANIFEST in files), key=_age, reverse=True)


@contextmanager
def _scratch() -> Iterator[Path]:
    with scratch_folder(node_cache(), "checkpoint") as folder:
        yield folder
