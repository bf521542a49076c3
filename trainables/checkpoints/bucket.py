"""A folder in an S3-compatible object store, by its URI: list, put, get and remove objects.

The URI never holds credentials. They come from the environment of each node (AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY, ~/.aws, or the machine's role), so that no record, log or job description contains one.
"""

import functools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from pyarrow import fs

from trainables.errors import ConfigError
from trainables.runtime.progress import advance

FORM = "s3://BUCKET/PREFIX?endpoint_override=HOST:PORT&scheme=https&region=NAME"
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_OPTIONS = ("endpoint_override", "region", "scheme")
_PATH = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/(?!\.+(?:/|$))[A-Za-z0-9._=-]+)*")
_PIECE_BYTES = 8 * 2**20
_CONNECT_S = 10
_ATTEMPTS = 5


@dataclass(frozen=True)
class Bucket:
    """BUCKET/PREFIX and the options of its server. Every method raises OSError where the server refuses."""

    path: str
    options: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def from_uri(uri: str, environment: Mapping[str, str] = os.environ) -> "Bucket":
        """Parses `FORM`. An endpoint from the environment becomes part of the value, so that all nodes use the same.

        Raises ConfigError for another form, and for a URI that contains credentials.
        """
        parts = urlsplit(uri)
        if "@" in parts.netloc:
            raise ConfigError(
                "the storage URI holds credentials; take them out of it and set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY in the environment of the driver and of every node."
            )
        path = f"{parts.netloc}{parts.path}".rstrip("/")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        if parts.scheme != "s3" or parts.fragment or not _PATH.fullmatch(path) or set(options) - set(_OPTIONS):
            shown = f"{parts.scheme}://{path}"
            unknown = sorted(set(options) - set(_OPTIONS))
            raise ConfigError(
                f"the storage URI is {shown!r}"
                + (f" with {', '.join(unknown)} in its query" if unknown else "")
                + f"; allowed: {FORM}, where the query may be left out."
            )
        named = next((environment[name] for name in ENDPOINT_VARIABLES if environment.get(name)), None)
        if named and "endpoint_override" not in options:
            server = urlsplit(named if "://" in named else f"https://{named}")
            if "@" in server.netloc:
                raise ConfigError("AWS_ENDPOINT_URL holds credentials; set AWS_ACCESS_KEY_ID instead.")
            options |= {"endpoint_override": server.netloc, "scheme": server.scheme}
        return Bucket(path, tuple(sorted(options.items())))

    @property
    def uri(self) -> str:
        """The URI that `from_uri` turns into an equal value, on any node."""
        return f"s3://{self.path}" + (f"?{urlencode(self.options)}" if self.options else "")

    def list(self, prefix: str) -> list[str]:
        """Keys of all objects under a prefix, relative to it; empty if there are none."""
        return [*self.sizes(prefix)]

    def sizes(self, prefix: str) -> dict[str, int]:
        """The keys that `list` returns, each with its size in bytes."""
        top = f"{self.path}/{prefix}"
        found = self._server().get_file_info(fs.FileSelector(top, recursive=True, allow_not_found=True))
        return {info.path.removeprefix(f"{top}/"): int(info.size) for info in found if info.is_file}

    def put(self, file: Path, key: str) -> None:
        """Uploads a file; the object is complete once this returns."""
        with file.open("rb") as source, self._server().open_output_stream(f"{self.path}/{key}") as sink:
            while piece := source.read(_PIECE_BYTES):
                sink.write(piece)
                advance()

    def get(self, key: str, file: Path) -> None:
        """Downloads an object; FileNotFoundError where there is none."""
        with self._server().open_input_stream(f"{self.path}/{key}") as source, file.open("wb") as sink:
            while piece := source.read(_PIECE_BYTES):
                sink.write(piece)
                advance()

    def remove(self, key: str) -> None:
        """Removes an object; no error if it is already gone."""
        try:
            self._server().delete_file(f"{self.path}/{key}")
        except FileNotFoundError:
            return

    def _server(self) -> Any:
        return _server(self.options)


@functools.cache
def _server(options: tuple[tuple[str, str], ...]) -> Any:
    """One connection pool per process and server."""
    retries = fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS)
    return fs.S3FileSystem(**dict(options), connect_timeout=_CONNECT_S, retry_strategy=retries)
