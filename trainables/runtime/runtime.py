"""Where a trial runs: its rank, device and data folder, and the signal to pause it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch


def never_pause() -> bool:
    """The trial runs to its end."""
    return False


@dataclass(frozen=True, kw_only=True)
class Runtime:
    data_root: Path
    """Folder of prepared data sets (`trainables.data.arrow_store`)."""
    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    should_pause: Callable[[], bool] = never_pause
    """Called after every training step by all ranks; must return the same answer on each. True makes `fit` raise
    `pause.Paused`."""
