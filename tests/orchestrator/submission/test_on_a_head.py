"""Searches as jobs of a real head node: submitted twice at once, followed, stopped, resumed, queried."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.orchestrator.workflow.test_search_end_to_end import SPEC
from tests.support.ray_head import Head, ray_head
from tests.support.repository import ROOT

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

PASSWORD = "not-for-any-log"
CREDENTIALS = {
    **dict.fromkeys(("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"), PASSWORD),
    **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), PASSWORD),
}
# The head has one CPU, so trials run one after the other: a stop during the first leaves the second.
EPOCHS = 20
"""Enough epochs for the search to be still running when the queries in between have been answered."""
CHANGES = ("trials=2", f"epochs={EPOCHS}", "scheduler={name: none}", "finalists.seeds=1", "data.train_images=400")
SHORT = ("registered_model=aib-short", "trials=1", "epochs=1", "finalists.top=1", "data.train_images=100")
SETS = [word for change in CHANGES for word in ("--set", change)]


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with ray_head(num_cpus=1) as started:
        yield started


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spec") / "tiny.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cluster") / "runs"


def start(head: Head, *arguments: str, **changes: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "orchestrator", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=head.environment(**{**CREDENTIALS, **changes}),
        # As in a terminal: child processes of tests in the background would ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  (one system call)
    )


def run(head: Head, *arguments: str, timeout_s: float = 400, **changes: str) -> tuple[int, str, str]:
    process = start(head, *arguments, **changes)
    out, said = process.communicate(timeout=timeout_s)
    assert PASSWORD not in out + said
    return process.returncode, out, said


def submission(head: Head, spec: Path, root: Path, *more: str) -> list[str]:
    return ["submit", str(spec), "--address", head.url, "--root", str(root), *SETS, *more]


def ray_job(head: Head, *arguments: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ray.scripts.scripts", "job", *arguments],
        env=head.environment(RAY_API_SERVER_ADDRESS=head.url, AIB_ROOT=""),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def jobs_on(head: Head) -> dict[str, str]:
    """Submission id -> status, as Ray's own client sees them."""
    code = (
        "import json, sys; from ray.job_submission import JobSubmissionClient as C; "
        "print(json.dumps({j.submission_id: j.status.value for j in C(sys.argv[1]).list_jobs() if j.submission_id}))"
    )
    asked = subprocess.run(
        [sys.executable, "-c", code, head.url], env=head.environment(), capture_output=True, text=True, check=True
    )
    found: dict[str, str] = json.loads(asked.stdout.splitlines()[-1])
    return found


def job_info(head: Head, job: str) -> str:
    """The Jobs API's answer about a job, which everyone with the token can read."""
    request = urllib.request.Request(
        f"{head.url}/api/jobs/{job}", headers={"Authorization": f"Bearer {head.token_path.read_text()}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.read().decode())


def holding(word: str, folder: Path) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [str(path) for path in files if word.encode() in path.read_bytes()]


def wait_for_epochs(root: Path, epochs: int, *processes: subprocess.Popen[str]) -> None:
    journal = root / "studies" / "tiny" / "journal.jsonl"
    deadline_s = time.monotonic() + 400
    while not (journal.exists() and journal.read_text().count('"val_error_pct"') >= epochs):
        for process in processes:
            assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.2)


def trials_in(root: Path) -> dict[str, dict[str, Any]]:
    from orchestrator.status.summary import trial_row
    from orchestrator.study.paths import study_paths
    from orchestrator.study.study import view_study

    view = view_study(study_paths(root, "tiny"))
    return {name: trial_row(record) for name, record in view.state.trials.items()}


@pytest.mark.minutes
def test_submitted_twice_left_stopped_and_resumed(head: Head, spec: Path, root: Path) -> None:
    both = [start(head, *submission(head, spec, root)) for _ in range(2)]
    try:
        # While the job starts: another spec with the same name is refused.
        deadline_s = time.monotonic() + 200
        while not (found := jobs_on(head)):
            assert time.monotonic() < deadline_s
        assert found in ({"tiny": "PENDING"}, {"tiny": "RUNNING"})
        code, _, said = run(head, *submission(head, spec, root, "--set", "trials=9"))
        assert (code, "another spec" in said) == (2, True), said

        wait_for_epochs(root, 1, *both)
        both[1].send_signal(signal.SIGINT)
        _, said = both[1].communicate(timeout=150)
        assert both[1].returncode == 130, said
        assert "ray job stop" in said
        assert both[0].poll() is None, "Ctrl-C on one follower leaves the job and the other alone"

        stopped = ray_job(head, "stop", "tiny")
        assert stopped.returncode == 0, stopped.stderr
        out, said = both[0].communicate(timeout=150)
        assert both[0].returncode == 143, said
        assert "t00000 running" in out
        assert "ending: trials save the step they are at" in out
    finally:
        for process in both:
            if process.poll() is None:
                process.kill()
                process.wait()
    before = trials_in(root)
    code, out, said = run(head, "status", "tiny", "--address", head.url, "--json")
    assert code == 0, said
    found = json.loads(out)
    assert (found["study"], found["stage"], found["trials"]["planned"]) == ("tiny", "interrupted", 2)
    assert (found["job"]["id"], found["job"]["status"], found["job"]["exit_code"]) == ("tiny", "STOPPED", 143)
    assert found["driver_running"] is False
    code, out, said = run(head, "status", "tiny", "--address", head.url)
    assert f"no process runs it now; continue with: aib submit SPEC --address {head.url}" in out, said

    code, out, said = run(head, *submission(head, spec, root))
    assert code == 0, out + said
    assert "job tiny~2 was submitted" in said
    assert "registered: models:/aib-tiny@champion" in out
    after = trials_in(root)
    assert sorted(row["kind"] for row in after.values()) == ["finalist", "search", "search"]
    for name, row in before.items():
        assert after[name]["params"] == row["params"]
        assert after[name]["epoch"] == EPOCHS
    assert all(after[name] == row for name, row in before.items() if row["state"] == "completed")
    assert jobs_on(head) == {"tiny": "STOPPED", "tiny~2": "SUCCEEDED"}


def test_a_refused_search_leaves_with_its_own_code_from_the_node_with_the_label(
    head: Head, spec: Path, root: Path
) -> None:
    more = ["--driver-label", "aib.test/driver=here"]
    more += ["--name", "nodata", "--set", "dataset=cifar10", "--set", "data.image_size=32", "--json"]
    code, out, said = run(head, *submission(head, spec, root, *more))
    assert code == 3, said
    assert "aib data prepare cifar10" in said
    assert json.loads(out)["job"]["exit_code"] == 3


def test_without_a_lasting_root_nothing_is_searched(head: Head, spec: Path) -> None:
    code, out, said = run(head, "submit", str(spec), "--address", head.url, "--name", "rootless", *SETS)
    assert code == 3, said
    assert "AIB_ROOT" in out


def test_no_credential_of_the_submitter_is_left_on_the_cluster(head: Head, spec: Path, root: Path) -> None:
    short = ["--name", "short", *(word for change in SHORT for word in ("--set", change))]
    code, out, said = run(head, *submission(head, spec, root, *short, "--no-copy-data"))
    assert code == 0, out + said
    (line,) = [line for line in said.splitlines() if "--send-credentials" in line]
    assert all(name in line for name in CREDENTIALS)
    info = job_info(head, "short")
    assert PASSWORD not in info
    assert '"AIB_COPY_DATA": "0"' in info
    assert holding(PASSWORD, head.folder) == []
    assert holding("AIB_COPY_DATA", head.folder) != [], "Ray writes a job's environment to its logs"


def test_a_wrong_token_or_label_starts_nothing(head: Head, spec: Path, root: Path) -> None:
    before = jobs_on(head)
    code, _, said = run(head, *submission(head, spec, root, "--name", "x"), RAY_AUTH_TOKEN="w" * 32)
    assert (code, "rejects our token" in said) == (3, True), said
    code, _, said = run(head, *submission(head, spec, root, "--name", "x", "--driver-label", "aib.test/driver=gone"))
    assert (code, "aib.test/driver=here" in said) == (3, True), said
    assert jobs_on(head) == before


def test_doctor_looks_at_the_jobs_api(head: Head, tmp_path: Path) -> None:
    code, out, said = run(head, "doctor", "--address", head.url, "--root", str(tmp_path), "--json")
    assert code == 0, out + said
    (jobs,) = [check for check in json.loads(out)["checks"] if check["name"] == "jobs"]
    assert "takes jobs with a token only" in jobs["message"]
    assert "1 nodes, 1 CPUs" in jobs["message"]
    code, out, _ = run(
        head, "doctor", "--address", head.url, "--root", str(tmp_path), "--json", RAY_AUTH_TOKEN="w" * 32
    )
    assert code == 3
    assert [check["name"] for check in json.loads(out)["checks"] if not check["ok"]] == ["jobs"]


def test_status_of_a_study_that_is_nowhere(head: Head) -> None:
    code, _, said = run(head, "status", "nowhere", "--address", head.url)
    assert (code, "nowhere" in said) == (3, True), said


@pytest.mark.minutes
def test_rays_own_command_runs_a_search_too(head: Head, spec: Path, root: Path) -> None:
    sets = [word for change in ("epochs=1", "data.train_images=100") for word in ("--set", change)]
    done = ray_job(
        head, "submit", "--working-dir", ".", "--", "python", "-m", "orchestrator", "train", str(spec),
        "--resume", "--root", str(root), "--name", "plain", *sets,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "train: completed" in done.stdout
    assert os.path.exists(root / "studies" / "plain" / "study.json")


def test_a_refused_rayjob_stops_itself_and_ends_as_stopped(head: Head, root: Path) -> None:
    """KubeRay treats a stopped job as complete, but retries a failed job on a new cluster."""
    script = str(ROOT / "cluster" / "kuberay" / "search.sh")
    done = ray_job(head, "submit", "--submission-id", "refused", "--", "bash", script, "no-such.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no-such.yaml" in done.stdout
    assert "refused (exit code 2 of aib search)" in done.stdout
    assert jobs_on(head)["refused"] == "STOPPED"
