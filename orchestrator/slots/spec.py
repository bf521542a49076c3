"""What every slot of a pool is made of: resources, placement, the training it runs, and its timeouts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.slots.fit_interface import Fit
from orchestrator.slots.slot_state import OWNER_TIMEOUT_S


@dataclass(frozen=True, kw_only=True)
class SlotSpec:
    """What every slot of a pool is made of. Only the number of workers differs from slot to slot."""

    cpus_per_worker: float
    gpus_per_worker: float = 0
    storage: Path | None
    """Folder for Ray Train's own small files; None: the cache of the slot's node."""
    placement: Literal["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"] = "PACK"
    trials_per_slot: int | None = None
    """Trials after which the workers are replaced by fresh ones; None: never."""
    fit: Fit | None = None
    """The training that the workers run; None: `worker.fit_trial`."""
    owner_timeout_s: float = OWNER_TIMEOUT_S
    """Silence after which an owner loses its lease."""
    start_timeout_s: float = 120
    """How long a worker group may wait for room."""
    hang_timeout_s: float | None = None
    """How long a worker may make no progress; None: as measured (`hang_detector.HangDetector`)."""

    @property
    def resources(self) -> dict[str, float]:
        """Of one worker."""
        gpus = {"GPU": self.gpus_per_worker} if self.gpus_per_worker > 0 else {}
        return {"CPU": self.cpus_per_worker, **gpus}
