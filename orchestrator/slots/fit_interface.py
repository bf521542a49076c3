"""The interface of what a slot's workers run: a generator over one trial that yields a report an epoch."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    # An import at run time would load torch into every process that only looks up a slot.
    from trainables.runtime.runtime import Runtime


class FitReport(Protocol):
    """What the training yields once an epoch."""

    @property
    def epoch(self) -> int: ...
    @property
    def metrics(self) -> dict[str, float]: ...
    @property
    def save(self) -> Callable[[Path], Path]: ...


Fit = Callable[[Mapping[str, Any], "Runtime", Path | None], Iterator[FitReport]]
"""Takes the trial's config, the rank's runtime and the checkpoint to continue from."""
