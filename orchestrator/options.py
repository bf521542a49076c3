"""What a command line says beside the spec: where a study runs, and where it is recorded."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from trainables.errors import ConfigError

DEFAULT_ROOT = Path("runs")


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where a study runs and where it is recorded."""

    root: Path
    tracking_uri: str | None = None
    address: str | None = None
    storage: str | None = None
    """URI of an object store for the trials' checkpoints; None means the study's folder."""
    copy_data: bool | None = None
    """Whether each node reads its own copy of the data. None copies, except for a local disk of the only node."""

    def __post_init__(self) -> None:
        check_address(self.address)


def given_root(root: Path) -> Path:
    """Returns the root with `~` as the home folder, which a shell does not put in place of a quoted one.

    Raises ConfigError for `~USER` of an unknown user.
    """
    try:
        return root.expanduser()
    except RuntimeError:
        raise ConfigError(
            f"--root (or AIB_ROOT) is '{root}', but this machine knows no home folder of {root.parts[0]}; give the "
            "absolute path of the folder."
        ) from None


def is_dashboard(address: str | None) -> bool:
    """Whether the address is a dashboard's URL; a dashboard takes Ray jobs, and no driver can join there."""
    return address is not None and address.startswith(("http://", "https://"))


def check_address(address: str | None) -> None:
    """ConfigError unless a driver can join there: HOST:PORT, ray://HOST:PORT, `auto`; `local` starts a cluster."""
    if is_dashboard(address):
        raise ConfigError(
            f"--address (or RAY_ADDRESS) is '{address}', a dashboard's URL, which is for aib submit, status and "
            "doctor. Give the head's HOST:6379, or `auto` on a node of the cluster; or hand the search over: "
            f"aib submit SPEC --address {address}"
        )
    if address in (None, "", "auto", "local"):
        return
    try:
        parts = urlsplit(address if "://" in str(address) else f"//{address}")
        joinable = parts.scheme in ("", "ray") and parts.hostname and parts.port
    except ValueError:
        joinable = None
    if not joinable:
        raise ConfigError(
            f"--address (or RAY_ADDRESS) is '{str(address)[:200]}'; allowed: HOST:PORT of the cluster's head (6379, "
            "unless it was started with another port), or `auto` on a node of the cluster."
        )
