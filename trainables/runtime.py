"""Where a trial runs: its rank among the workers, its device, its data folder."""

from dataclasses import dataclass, field
from pathlib import Path

import torch


@dataclass(frozen=True, kw_only=True)
class Runtime:
    data_root: Path
    """Folder of prepared data sets (`trainables.data.store`)."""
    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
