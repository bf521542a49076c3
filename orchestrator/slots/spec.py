"""What every slot of a pool is made of."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    # At run time it would bring torch into every process that only looks a slot up.
    from orchestrator.slots.worker import Fit


@dataclass(frozen=True, kw_only=True)
class SlotSpec:
    """What every slot of a pool is made of."""

    workers: int
    """At the start; `Slot.resize` changes them."""
    cpus_per_worker: float
    gpus_per_worker: float
    storage: Path | None
    """For Train's own small files; None: the cache of the node that the slot is on."""
    placement: Literal["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"]
    trials_per_slot: int | None
    """Fresh workers after so many trials; None: never."""
    fit: "Fit"
    owner_timeout_s: float
    start_timeout_s: float
    watch_preemption: bool
    hang_timeout_s: float | None
    """How long a worker may make no progress (`watchdog.Watchdog`)."""

    @property
    def resources(self) -> dict[str, float]:
        """Of one worker."""
        gpus = {"GPU": self.gpus_per_worker} if self.gpus_per_worker > 0 else {}
        return {"CPU": self.cpus_per_worker, **gpus}
