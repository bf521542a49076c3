"""Standard streams that are full, closed, or left by their reader; each command is one short process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.process.streams import OutputLostError, ReaderGoneError, guarded_output
from tests.support.command import environment
from tests.support.repository import ROOT

# As the installed command does: `python -m` itself needs a working directory.
AIB = (
    f"""{sys.executable} -c 'import sys; sys.path.insert(0, "{ROOT}"); from orchestrator.cli.app import main; main()'"""
)


def test_a_full_output_is_one_error_and_then_dropped() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    stream = guarded_output(full)
    stream.write("answer\n")
    with pytest.raises(OutputLostError, match="No space left on device"):
        stream.flush()
    stream.write("more\n" * 10_000)
    stream.close()
    os.close(full)


def test_a_reader_that_left_is_no_error_of_ours() -> None:
    read, write = os.pipe()
    os.close(read)
    stream = guarded_output(write)
    stream.write("answer\n")
    with pytest.raises(ReaderGoneError):
        stream.flush()
    stream.write("more\n")
    stream.close()
    os.close(write)


def run(command: str) -> tuple[int, str]:
    """Runs a shell command, in which AIB is the program; exit code and stderr."""
    shell = ["bash", "-c", command.replace(" AIB ", f" {AIB} ")]
    done = subprocess.run(shell, stderr=subprocess.PIPE, text=True, timeout=60, env=environment(), check=False)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["--version", "data list --json"])
def test_a_verb_whose_answer_is_lost_says_so_once(verb: str, tmp_path: Path) -> None:
    code, said = run(f"exec >/dev/full; AIB_ROOT={tmp_path} AIB {verb}")
    assert (code, said.count("standard output cannot be written")) == (1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("streams", ["<&- >&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_streams_that_nobody_reads_keep_a_verbs_exit_code(streams: str, tmp_path: Path) -> None:
    code, said = run(f"exec {streams}; AIB_ROOT={tmp_path} AIB status none")
    assert (code, "there is no study 'none'" in said) == (3, "2>" not in streams)


@pytest.mark.slow
def test_a_working_directory_that_was_removed_is_named(tmp_path: Path) -> None:
    code, said = run(f"mkdir {tmp_path}/gone; cd {tmp_path}/gone; rmdir {tmp_path}/gone; AIB models")
    assert (code, "the working directory was removed" in said) == (3, True)
