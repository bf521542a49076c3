"""Where a trial runs: its rank among the workers, its device, its data folder, and who may call it away."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch


def never_pause() -> bool:
    """Nobody calls the trial away."""
    return False


@dataclass(frozen=True, kw_only=True)
class Runtime:
    data_root: Path
    """Folder of prepared data sets (`trainables.data.arrow_store`)."""
    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    should_pause: Callable[[], bool] = never_pause
    """Asked after every training step, by all ranks equally often and with the same answer on each: True makes `fit`
    raise `pause.Paused`."""
