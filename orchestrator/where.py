"""Where a study runs and is recorded: what a command line says beside the spec."""

from dataclasses import dataclass
from pathlib import Path

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
