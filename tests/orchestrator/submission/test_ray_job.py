"""Ids and exit codes of jobs."""

import pytest

from orchestrator.submission.ray_job import RayJob, exit_code_of, free_id, jobs_of


def test_the_first_job_has_the_studys_name_and_later_ones_a_number() -> None:
    assert free_id("tiny", []) == "tiny"
    assert free_id("tiny", [RayJob("tiny", "FAILED")]) == "tiny~2"
    assert (
        free_id("tiny", [RayJob("tiny~2", "FAILED"), RayJob("tiny", "STOPPED"), RayJob("other", "RUNNING")]) == "tiny~3"
    )


def test_ids_of_different_studies_never_collide() -> None:
    assert free_id("tiny-2", [RayJob("tiny", "FAILED"), RayJob("tiny~2", "FAILED")]) == "tiny-2"


def test_only_searches_of_the_study_count_oldest_first() -> None:
    jobs = [
        RayJob("tiny~2", "RUNNING", "tiny", started_s=2.0),
        RayJob("raysubmit_x", "RUNNING"),
        RayJob("tiny", "FAILED", "tiny", started_s=1.0),
        RayJob("tiny-2", "RUNNING", "tiny-2", started_s=3.0),
    ]
    assert [job.id for job in jobs_of("tiny", jobs)] == ["tiny", "tiny~2"]


@pytest.mark.parametrize(
    ("status", "exit_code", "expected"),
    [
        *[("FAILED", code, code) for code in (1, 2, 3, 4, 5, 130, 143)],
        ("SUCCEEDED", 0, 0),
        ("STOPPED", None, 143),
        ("FAILED", None, 1),
        ("FAILED", -9, 1),
        ("FAILED", 127, 3),
    ],
)
def test_the_searchs_own_exit_code_is_passed_on(status: str, exit_code: int | None, expected: int) -> None:
    assert exit_code_of(RayJob("tiny", status, exit_code=exit_code)) == expected


def test_a_running_job_has_no_exit_code_yet() -> None:
    assert RayJob("tiny", "RUNNING").to_json()["exit_code"] is None


def test_the_message_is_one_line_without_secrets() -> None:
    job = RayJob("tiny", "FAILED", message="failed at https://me:hunter2x@host\nthe log's end", exit_code=1)
    assert job.to_json()["message"] == "failed at https://***@host"
