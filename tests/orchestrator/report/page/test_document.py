from orchestrator.report.page.document import spread


def test_spread_of_the_unknown_is_a_dash() -> None:
    assert [spread(None, None), spread(1.0, None), spread(1.0, 0.25)] == ["–", "1.00", "1.00 ± 0.25"]
