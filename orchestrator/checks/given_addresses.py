"""Checks the addresses that a command was given; connects to nothing."""

from orchestrator.options import RunOptions
from orchestrator.study.checkpoint_storage import choose_storage
from orchestrator.study.paths import StudyPaths
from orchestrator.tracking.mlflow.store import check_tracking_uri


def check_addresses(options: RunOptions, paths: StudyPaths) -> None:
    """Raises ConfigError for a tracking store or a storage that a search of this study refuses."""
    if options.tracking_uri:
        check_tracking_uri(options.tracking_uri)
    choose_storage(options.storage, paths)
