"""The upload of a job holds our code and the spec; its environment holds the submitter's settings."""

from pathlib import Path

import pytest

from orchestrator.errors import PreflightError
from orchestrator.process.code_version import checkout_root
from orchestrator.process.owner import OWNER, owner
from orchestrator.study.paths import data_root, study_paths
from orchestrator.submission import upload as upload_module
from orchestrator.submission.environment import STOP_WAIT, job_environment
from orchestrator.submission.submit import Submission
from orchestrator.submission.upload import check_size, spec_in_upload, upload_folder
from tests.support.repository import ROOT


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "my search.yaml"
    path.write_text("name: tiny\n")
    return path


def test_a_checkout_sends_its_packages_its_commit_and_the_spec(spec: Path) -> None:
    with upload_folder(spec) as folder:
        assert folder is not None
        assert {path.name for path in folder.iterdir()} == {
            "orchestrator",
            "trainables",
            "search_spaces",
            "spec",
            "COMMIT",
        }
        assert (folder / spec_in_upload(spec)).read_text() == "name: tiny\n"
        assert (folder / "orchestrator/__main__.py").is_file()
        assert (folder / "search_spaces/search.schema.json").is_file()
        assert not list(folder.rglob("__pycache__"))
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        assert size < 2 * 2**20
    assert not folder.exists()


def test_an_installed_package_sends_the_spec_alone(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_module, "checkout_root", lambda: None)
    with upload_folder(spec) as folder:
        assert folder is not None
        assert [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()] == [
            Path(spec_in_upload(spec))
        ]
    with upload_folder(None) as nothing:
        assert nothing is None


def test_an_upload_that_is_too_large_names_the_largest_files(tmp_path: Path) -> None:
    (tmp_path / "trainables").mkdir()
    (tmp_path / "trainables" / "images.bin").write_bytes(bytes(upload_module.MAX_BYTES + 1))
    with pytest.raises(PreflightError, match=r"20\.0 MiB.*trainables/images\.bin"):
        check_size(tmp_path)


def test_these_tests_run_from_a_checkout() -> None:
    assert checkout_root() == ROOT


OURS = {
    "AWS_SECRET_ACCESS_KEY": "s3",
    "AWS_REGION": "eu",
    "MLFLOW_TRACKING_PASSWORD": "pw",
    "MLFLOW_TRACKING_USERNAME": "",
    "RAY_AUTH_TOKEN": "the cluster has its own",
    "HOME": "/home/me",
}
GIVEN = {"AIB_ROOT": "/shared/aib", "MLFLOW_TRACKING_URI": "https://ann:pw@mlflow.example/a", "AIB_STORAGE": None}


def test_the_jobs_environment_holds_no_credential_and_says_which_are_set_here() -> None:
    assert job_environment(OURS, GIVEN, send_credentials=False) == (
        {
            "AWS_REGION": "eu",
            "AIB_ROOT": "/shared/aib",
            "MLFLOW_TRACKING_URI": "https://mlflow.example/a",
            STOP_WAIT: "600",
        },
        ("MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_URI"),
    )


def test_credentials_are_sent_on_request() -> None:
    assert job_environment(OURS, GIVEN, send_credentials=True) == (
        {
            "AWS_SECRET_ACCESS_KEY": "s3",
            "AWS_REGION": "eu",
            "MLFLOW_TRACKING_PASSWORD": "pw",
            "AIB_ROOT": "/shared/aib",
            "MLFLOW_TRACKING_URI": "https://ann:pw@mlflow.example/a",
            STOP_WAIT: "600",
        },
        (),
    )


def test_storage_and_copies_of_the_data_are_passed_on(tmp_path: Path) -> None:
    asked = Submission(spec=tmp_path, storage="s3://bucket/runs", copy_data=False)
    variables, _ = asked.environment({})
    assert (variables["AIB_STORAGE"], variables["AIB_COPY_DATA"]) == ("s3://bucket/runs", "0")


def test_what_is_not_given_is_left_to_the_cluster(tmp_path: Path) -> None:
    assert Submission(spec=tmp_path).environment({STOP_WAIT: "5"}) == ({STOP_WAIT: "5", OWNER: owner()}, ())


def test_a_root_in_the_jobs_own_folder_is_refused() -> None:
    folder = "/tmp/ray/session_1/runtime_resources/working_dir_files/_ray_pkg_1/runs"
    with pytest.raises(PreflightError, match="AIB_ROOT"):
        study_paths(folder, "tiny")
    with pytest.raises(PreflightError, match="AIB_ROOT"):
        data_root(folder)
