"""What a start checks and a resume leaves alone."""

from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.options import RunOptions
from orchestrator.study.paths import study_paths
from orchestrator.study.study import open_study
from orchestrator.workflow.prepared_run import PreparedRun, prepare_run
from search_spaces.schema import SearchSpec
from tests.support.images import write_prepared
from trainables.errors import ConfigError


def test_a_study_that_began_on_fewer_images_than_its_batch_goes_on(tmp_path: Path) -> None:
    spec = SearchSpec.from_dict(
        {
            "name": "s",
            "trial": {"dataset": "few", "model": "vgg", "data.image_size": 16, "optim.batch_size": 64},
            "space": {},
            "trials": 1,
            "resources": {"cpus_per_worker": 1, "gpus_per_worker": 0},
        }
    )
    paths = study_paths(tmp_path, spec.name)
    write_prepared(paths.data, "few", 16, ("a", "b"), 20)

    def prepared() -> PreparedRun:
        return prepare_run(spec, RunOptions(root=tmp_path), purpose="search", resume=True, console=Console(quiet=True))

    with pytest.raises(ConfigError, match=r"'optim\.batch_size' is 64, but only 36 images of 'few' are for training"):
        prepared()
    assert not paths.folder.exists()
    with open_study(spec, paths, True, {}):
        pass
    assert prepared().dataset.num_train == 36
