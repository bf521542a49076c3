"""Where a study runs and is recorded: what a command line says beside the spec."""

from dataclasses import dataclass
from pathlib import Path

from trainables.errors import ConfigError

DEFAULT_ROOT = Path("runs")


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where a study runs and is recorded."""

    root: Path
    tracking_uri: str | None = None
    address: str | None = None
    storage: str | None = None
    """URI of an object store for the trials' checkpoints; None: the study's folder."""
    copy_data: bool | None = None
    """Whether each node reads its own copy of the data; None: where the root is not a disk of the only node."""

    def __post_init__(self) -> None:
        check_address(self.address)


def is_dashboard(address: str | None) -> bool:
    """Whether it is the URL of a cluster's dashboard, where jobs are taken and no driver can join."""
    return address is not None and address.startswith(("http://", "https://"))


def check_address(address: str | None) -> None:
    """ConfigError for an address that no driver can join."""
    if is_dashboard(address):
        raise ConfigError(
            f"--address (or RAY_ADDRESS) is '{address}', a dashboard's URL, which is for aib submit, status and "
            "doctor. Give the head's HOST:6379, or `auto` on a node of the cluster; or hand the search over: "
            f"aib submit SPEC --address {address}"
        )
