from orchestrator.report.parameter_text import short_names


def test_fields_that_end_alike_keep_their_whole_name() -> None:
    assert short_names(["data.name", "model.name", "optim.lr"]) == ["data.name", "model.name", "lr"]
