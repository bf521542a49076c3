"""A command that runs again in its own place: the same process, stdout and environment, with --resume, a few times."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import environment
from tests.support.repository import ROOT

COMMAND = """
import json, os, sys
from orchestrator.process.restart import remember_command, restart, restarts_left
remember_command()
left = restarts_left()
print(json.dumps([os.getpid(), left, sys.argv[1:], os.environ.get("RAY_ADDRESS")]), flush=True)
os.environ["RAY_ADDRESS"] = "a cluster that is lost"
os.dup2(2, 1)
if left:
    restart()
"""


def run(*arguments: str) -> tuple[int, list[list[object]]]:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    )
    said, _ = process.communicate(timeout=60)
    return process.pid, [json.loads(line) for line in said.splitlines()]


def test_a_command_runs_again_with_resume_a_bounded_number_of_times() -> None:
    pid, said = run("search", "spec.yaml", "--name", "train")
    first = ["search", "spec.yaml", "--name", "train"]
    again = ["search", "--resume", "spec.yaml", "--name", "train"]
    assert said == [[pid, 3, first, None], *([pid, left, again, None] for left in (2, 1, 0))]


@pytest.mark.parametrize("arguments", [["status", "demo"], ["search", "/dev/stdin"]])
def test_a_command_that_cannot_be_continued_is_not_run_again(arguments: list[str]) -> None:
    _, said = run(*arguments)
    assert [line[1] for line in said] == [0]


def test_a_process_that_is_no_command_is_not_replaced(tmp_path: Path) -> None:
    from orchestrator.process.restart import restarts_left

    assert restarts_left() == 0
