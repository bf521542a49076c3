"""Which storage a study uses, and the errors of storage that cannot be used."""

import json
from pathlib import Path

import pytest

from orchestrator.checks.storage_probe import FolderMarks, NeededData, fault_of, needed_data, probe
from orchestrator.study.checkpoint_storage import TrialStorage, choose_storage, recorded_storage
from orchestrator.study.paths import StudyPaths, study_paths
from tests.support.images import write_prepared
from trainables.checkpoints.folder_store import FolderStore
from trainables.checkpoints.object_store import ObjectStore
from trainables.config.trial import TrialConfig
from trainables.data.arrow_store import read_meta, store_folder
from trainables.errors import ConfigError

URI = "s3://bucket/runs?endpoint_override=objects.example%3A9000&scheme=http"


def started(root: Path, storage: TrialStorage) -> StudyPaths:
    paths = study_paths(root, "tiny")
    paths.create()
    paths.study_json.write_text(json.dumps({"signature": "0", "spec": {"name": "tiny"}, **storage.facts}))
    return paths


def test_a_study_keeps_its_checkpoints_in_its_folder_unless_a_bucket_is_named(tmp_path: Path) -> None:
    paths = study_paths(tmp_path, "tiny")
    assert choose_storage(None, paths).of("t00000") == FolderStore(paths.trials / "t00000")
    in_bucket = choose_storage(URI, paths).of("t00000")
    assert isinstance(in_bucket, ObjectStore)
    assert (in_bucket.bucket.path, in_bucket.prefix) == ("bucket/runs", "studies/tiny/trials/t00000")


@pytest.mark.parametrize("uri", [None, URI])
def test_a_resumed_study_finds_the_storage_it_was_started_with(tmp_path: Path, uri: str | None) -> None:
    chosen = choose_storage(uri, study_paths(tmp_path, "tiny"))
    paths = started(tmp_path, chosen)
    assert choose_storage(None, paths) == choose_storage(uri, paths) == chosen
    assert recorded_storage(chosen.facts, paths.trials, "tiny") == chosen


@pytest.mark.parametrize("uri", [None, URI])
def test_another_storage_is_refused_on_resume(tmp_path: Path, uri: str | None) -> None:
    paths = started(tmp_path, choose_storage(uri, study_paths(tmp_path, "tiny")))
    with pytest.raises(ConfigError, match="leave --storage and AIB_STORAGE out"):
        choose_storage("s3://elsewhere/runs", paths)


def test_a_trial_whose_id_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name of a trial"):
        TrialStorage(tmp_path).of("../other")


def test_a_probe_leaves_nothing_behind(tmp_path: Path) -> None:
    probe(FolderMarks(tmp_path), "driver")
    assert list(tmp_path.iterdir()) == []


def test_a_node_that_lacks_the_folder_or_its_files_says_so(tmp_path: Path) -> None:
    with FolderMarks(tmp_path).marked("driver") as shared:
        assert fault_of(FolderMarks(tmp_path), "node", shared, ()) is None
        absent = fault_of(FolderMarks(tmp_path / "unmounted"), "node", shared, ())
    assert absent is not None
    assert "No such file or directory" in absent
    assert not (tmp_path / "unmounted").exists(), "a check never makes the folder it looks for"
    (tmp_path / "other").mkdir()
    other = fault_of(FolderMarks(tmp_path / "other"), "node", shared, ())
    assert other is not None, "a folder of the same name on another disk lacks the driver's mark"


def test_a_node_without_the_data_or_with_another_version_says_so(tmp_path: Path, digits_root: Path) -> None:
    marks = FolderMarks(tmp_path)
    meta = read_meta(store_folder(digits_root, "cluttered-digits", 16))
    assert meta is not None
    here = NeededData(digits_root, "cluttered-digits", 16, meta.digest)
    with marks.marked("driver") as shared:
        assert fault_of(marks, "node", shared, [here]) is None
        absent = str(fault_of(marks, "node", shared, [here, here._replace(data_root=tmp_path)]))
        other = str(fault_of(marks, "node", shared, [here._replace(digest="0")]))
    assert "holds no cluttered-digits" in absent
    assert "another version" in other


def test_every_data_set_that_a_trial_opens_is_asked_for_where_it_is_prepared(tmp_path: Path, digits_root: Path) -> None:
    config = TrialConfig.from_dict({"model": "vgg-aib", "data.name": "cluttered-digits", "data.image_size": 16})
    config = config.override({"evaluation.occluder_dataset": "cluttered-digits"})
    (found,) = needed_data(config, digits_root)
    assert (found.name, found.image_size, len(found.digest) > 8) == ("cluttered-digits", 16, True)
    assert needed_data(config, tmp_path) == []
    made = write_prepared(tmp_path, "svhn", 16, ("one", "two"), 3)
    occluded = config.override({"evaluation.occluder_dataset": "svhn"})
    assert [(one.name, one.digest) for one in needed_data(occluded, tmp_path)] == [("svhn", made.digest)]
