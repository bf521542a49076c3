"""Reports between studies of different versions."""

from typing import Any

import pytest

from orchestrator.planning.study_report import StudyReport

REPORT = StudyReport(
    study="a",
    owner="ann@host",
    stage="searching",
    since_s=1.5,
    cpus_per_worker=2,
    gpus_per_worker=0.5,
    least=1,
    step=1,
    wanted=3,
    useful=4,
    priority=1,
    slots=2,
)


def test_a_report_is_read_as_it_was_written() -> None:
    assert StudyReport.read({**REPORT.to_json(), "protocol": 1}) == REPORT
    assert REPORT.demand("key")[:6] == ("key", 2, 0.5, 1, 1, 3)


def test_a_later_versions_report_keeps_its_known_part_and_an_earlier_ones_gets_defaults() -> None:
    assert StudyReport.read({**REPORT.to_json(), "from_the_future": [1]}) == REPORT
    earlier = {name: value for name, value in REPORT.to_json().items() if name not in ("priority", "slots")}
    found = StudyReport.read(earlier)
    assert found is not None
    assert (found.priority, found.slots, found.wanted) == (0, 0, 3)


@pytest.mark.parametrize(
    "changed",
    [{"wanted": "many"}, {"least": 0}, {"share": 0.0}, {"wanted": 5}, {"cpus_per_worker": float("nan")}, {"study": 7}],
)
def test_a_report_that_means_nothing_is_passed_over(changed: dict[str, Any]) -> None:
    assert StudyReport.read({**REPORT.to_json(), **changed}) is None


def test_a_report_without_a_field_that_the_division_needs_is_passed_over() -> None:
    assert StudyReport.read({"study": "a"}) is None
