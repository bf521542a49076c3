"""The frame of every benchmark: rounds in turn, the form of a figure, the recorded result."""

import argparse
import json
import os
from pathlib import Path

import pytest

from benchmarks.support import measure
from benchmarks.support.measure import Figure, interleave, machine, to_dict, versions

WHAT = {"ours": "this", "other": "that", "ratio": "ours / other"}


def figure(**details: object) -> Figure:
    return Figure("some_figure", 1.0, 3.0, 1 / 3, "s", WHAT, details)


def test_contestants_take_turns() -> None:
    order: list[str] = []

    def one(name: str) -> float:
        order.append(name)
        return float(len(order))

    found = interleave({"ours": lambda: one("ours"), "other": lambda: one("other")}, 3)
    assert order == ["ours", "other"] * 3
    assert found == {"ours": [1, 3, 5], "other": [2, 4, 6]}


def test_stdout_has_the_json_and_nothing_else(capfd: pytest.CaptureFixture[str]) -> None:
    def noisy(chosen: argparse.Namespace) -> Figure:
        print("from Python")
        os.system("echo from a process of its own")
        return figure(times=[1 / 3, float("inf")])

    assert measure.run("A figure.", noisy, arguments=["--quick"]) == 0
    out, err = capfd.readouterr()
    assert out.count("\n") == 1
    found = json.loads(out)
    assert (found["ratio"], found["details"]["times"]) == (0.3333, [0.3333, None])
    assert found["quick"] is True
    assert "from Python" in err
    assert "from a process of its own" in err


def test_a_measurement_that_cannot_be_made_is_said_in_words(capfd: pytest.CaptureFixture[str]) -> None:
    def impossible(chosen: argparse.Namespace) -> Figure:
        raise ValueError("this machine has no GPU")

    assert measure.run("A figure.", impossible, arguments=[]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "this machine has no GPU" in err


def test_record_keeps_the_figure_under_its_name(tmp_path: Path) -> None:
    path = measure.record(to_dict(figure(), quick=False), tmp_path / "results")
    assert path.name == "some_figure.json"
    kept = json.loads(path.read_text())
    assert kept["ours"] == 1.0
    assert kept["machine"]["cpus"] == machine()["cpus"]
    assert kept["versions"] == versions()


def test_a_quick_figure_is_not_recorded() -> None:
    with pytest.raises(SystemExit):
        measure.run("A figure.", lambda chosen: figure(), arguments=["--quick", "--record"])
