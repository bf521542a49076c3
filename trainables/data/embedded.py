"""Composes cluttered-digits, which needs no files, when a trial uses it and it is not prepared yet."""

from collections.abc import Callable
from pathlib import Path

from trainables.config.trial import TrialConfig
from trainables.data.arrow_store import list_prepared
from trainables.data.catalog import default_image_size
from trainables.data.prepare import prepare

EMBEDDED = "cluttered-digits"


def prepare_embedded(config: TrialConfig, data_root: Path, report: Callable[[str], None]) -> None:
    """Composes `EMBEDDED` in every size that the trial trains on or occludes with; calls `report` before each."""
    there = {(meta.name, meta.image_size) for meta in list_prepared(data_root)}
    wanted = {(config.data.name, config.data.stored_size)}
    if config.evaluation.occluder_dataset == EMBEDDED and not any(name == EMBEDDED for name, _ in there | wanted):
        wanted.add((EMBEDDED, default_image_size(EMBEDDED)))
    for name, size in wanted - there:
        if name == EMBEDDED:
            report(f"preparing {name} at {size} px")
            prepare(name, data_root, size, None, None)
