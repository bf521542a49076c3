from typing import Any

from orchestrator.report.figures.marks import comparison_groups


def test_every_trial_of_the_search_is_in_one_group(finished: Any) -> None:
    search = finished.state.of_kind("search")
    groups = comparison_groups(finished.spec, search)
    assert sum(map(len, groups.values())) == len(search)
    assert [record.trial for record in groups["breaks a constraint"]] == ["t00002"]
