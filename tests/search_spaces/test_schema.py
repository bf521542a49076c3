"""A specification is complete after reading; one error reports all its problems."""

import json
import pickle
from pathlib import Path

import jsonschema
import pytest
import yaml

import search_spaces
from search_spaces.errors import SpecError
from search_spaces.schema import SearchSpec, json_schema_text, load_spec

FOLDER = Path(search_spaces.__file__).parent
SHIPPED = sorted(FOLDER.rglob("*.yaml"))
MINIMAL = {"name": "s", "trial": {"epochs": 3}, "space": {"bottleneck.beta": {"power_of_ten": [1, 2]}}, "trials": 4}


def spec(**changes: object) -> SearchSpec:
    return SearchSpec.from_dict({**MINIMAL, **changes}, "s.yaml")


def refusal(**changes: object) -> str:
    with pytest.raises(SpecError) as caught:
        spec(**changes)
    return str(caught.value)


def test_everything_but_name_trial_space_and_trials_has_a_default() -> None:
    found = spec()
    assert [(o.metric, o.goal) for o in found.objectives] == [("val_error_pct", "minimize")]
    assert (found.sampler.name, found.scheduler.name, found.registered_model) == ("tpe", "none", "s")
    assert (found.resources.workers_per_trial, found.resources.gpus_per_worker) == (1, 0)
    assert found.max_failures_per_trial == 2


def test_the_contracts_example_reads_as_written() -> None:
    found = load_spec(FOLDER / "table1" / "cifar10_vgg_aib_qt.yaml")
    assert found.trial == {"model.name": "vgg-aib-qt", "data.name": "cifar10", "recipe": "paper", "epochs": 200}
    assert found.space["attention.num_anchors"].to_dict() == {"int": [2, 100], "log": True}
    assert found.first[0]["bottleneck.beta"] == 0.01
    assert found.constraints[0].at_least == 0.02
    assert found.scheduler.grace_epochs == 25
    assert (found.finalists.top, found.finalists.seeds, found.trials) == (3, 3, 64)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_searches_load_and_match_the_json_schema(path: Path) -> None:
    found = load_spec(path)
    assert SearchSpec.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    schema = json.loads((FOLDER / "search.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    jsonschema.Draft202012Validator(schema).validate(json.loads(json.dumps(found.to_dict())))


def test_the_shipped_json_schema_is_up_to_date() -> None:
    shipped = (FOLDER / "search.schema.json").read_text(encoding="utf-8")
    assert shipped == json_schema_text(), (
        "write it again: python -c 'from search_spaces.schema import *; print(json_schema_text(), end=\"\")' "
        "> search_spaces/search.schema.json"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"sampler": "tp"},
        {"trials": 0},
        {"objectives": []},
        {"surprise": 1},
        {"space": {"a": {"int": [1]}}},
        {"space": {"a": {"choice": [1], "log": True}}},
        {"name": "a/b"},
    ],
)
def test_the_json_schema_refuses_what_the_reader_refuses(change: dict) -> None:
    schema = json.loads(json_schema_text())
    jsonschema.Draft202012Validator(schema).validate(MINIMAL)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate({**MINIMAL, **change})
    assert refusal(**change)


def test_nested_and_dotted_and_short_keys_mean_the_same() -> None:
    nested = spec(trial={"model": {"name": "wrn-aib", "width": 0.5}, "dataset": "svhn"})
    dotted = spec(trial={"model": "wrn-aib", "model.width": 0.5, "data.name": "svhn"})
    assert nested == dotted
    assert nested.to_dict() == dotted.to_dict()


def test_a_spec_is_frozen_and_pickles() -> None:
    found = spec()
    with pytest.raises(ValueError, match="frozen"):
        found.trials = 3  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samplr": "tpe"}, "samplr: unknown; did you mean 'sampler'?"),
        ({"grace_epochs": 3}, "grace_epochs: unknown; did you mean 'scheduler.grace_epochs'?"),
        ({"epochs": 3}, "epochs: unknown; did you mean 'trial.epochs'?"),
        ({"qqq": 3}, "qqq: unknown; allowed: name, trial, space"),
        (
            {"scheduler": {"name": "asha", "grace_epoch": 1}},
            "scheduler.grace_epoch: unknown; did you mean 'grace_epochs'?",
        ),
        ({"sampler": {"sed": 1}}, "sampler.sed: unknown; did you mean 'seed'?"),
        ({"resources": {"gpus": 1}}, "resources.gpus: unknown"),
        ({"finalists": {"tops": 1}}, "finalists.tops: unknown; did you mean 'top'?"),
        ({"gate": {"error_margin": 1}}, "gate.error_margin: unknown; did you mean 'error_margin_pct'?"),
        ({"objectives": [{"metric": "a", "gaol": "minimize"}]}, "objectives[0].gaol: unknown; did you mean 'goal'?"),
        ({"constraints": [{"metric": "a", "atleast": 1}]}, "constraints[0].atleast: unknown; did you mean 'at_least'?"),
        ({"space": {"a": {"chioce": [1]}}}, "space.a: is {'chioce': [1]}; allowed: {power_of_ten"),
    ],
)
def test_a_typo_at_any_level_gets_the_nearest_name(changes: dict, message: str) -> None:
    assert message in refusal(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "../x"}, "name: is '../x'"),
        ({"registered_model": "a/b"}, "registered_model: is 'a/b'"),
        ({"trial": [1]}, "trial: is [1]; allowed: a mapping"),
        ({"trial": {"model": "a", "model.name": "b"}}, "trial: gives 'model.name' twice"),
        ({"trial": {"epochs": [[1]]}}, "trial: 'epochs' is [[1]]"),
        ({"space": []}, "space: is not a mapping"),
        ({"trials": 0}, "trials: is 0; allowed: at least 1"),
        ({"trials": 10**9}, "trials: is 1000000000; allowed: at most 100000"),
        ({"trials": "8"}, "trials: is '8'; allowed: a whole number"),
        ({"trials": True}, "trials: is True; allowed: a whole number"),
        ({"objectives": []}, "objectives: is (); allowed: at least 1"),
        ({"objectives": [{"metric": "val_error_pct"}]}, "objectives[0].goal: is missing"),
        ({"objectives": [{"metric": "Val!", "goal": "minimize"}]}, "objectives[0].metric: is 'Val!'"),
        ({"objectives": [{"metric": "a", "goal": "minimise"}]}, "allowed: minimize | maximize"),
        ({"objectives": [{"metric": "a", "goal": "minimize"}] * 2}, "objectives[1]: names 'a' a second time"),
        ({"constraints": [{"metric": "a"}]}, "constraints[0]: needs at_least or at_most"),
        ({"constraints": [{"metric": "a", "at_least": 1, "at_most": 2}]}, "and not both"),
        ({"constraints": [{"metric": "a", "at_least": 1}] * 2}, "constraints[1]: gives 'a' a second lower bound"),
        ({"constraints": [{"metric": "a", "at_least": float("nan")}]}, "constraints[0].at_least"),
        ({"sampler": "tp"}, "sampler.name: is 'tp'; allowed: tpe | gp | nsga2 | cmaes | random | grid"),
        ({"sampler": {"seed": -1}}, "sampler.seed: is -1; allowed: at least 0"),
        ({"scheduler": {"name": "asha", "reduction_factor": 1}}, "reduction_factor: is 1; allowed: at least 2"),
        ({"scheduler": {"name": "asha", "metric": "val_nll"}}, "scheduler.goal: is missing; 'val_nll' is no objective"),
        ({"scheduler": {"name": "asha", "goal": "maximize"}}, "scheduler.goal: is maximize, but the objective"),
        ({"scheduler": None}, "scheduler: is null; allowed: a mapping"),
        ({"finalists": None}, "finalists: is null; to have none write {top: 0}"),
        ({"resources": {"gpus_per_worker": 1.5}}, "gpus_per_worker is 1.5; allowed: a whole number"),
        ({"resources": {"workers_per_trial": 0}}, "workers_per_trial: is 0; allowed: at least 1"),
        ({"finalists": {"workers_per_trial": [4, 2]}}, "is [4, 2]; allowed: [least, most], as in [2, 4]"),
        ({"finalists": {"workers_per_trial": [0, 2]}}, "allowed: at least 1"),
        ({"finalists": {"workers_per_trial": [1, 2, 3]}}, "finalists.workers_per_trial"),
        ({"resources": {"placement": "strict"}}, "resources.placement: is 'strict'; allowed: pack | spread"),
        ({"space": {}}, "trials: is 4, but the space is empty"),
        ({"trial": {"bottleneck.beta": 0.1}}, "space.bottleneck.beta: is fixed under trial as well"),
        ({"space": {"model": {"choice": ["a"]}, "model.name": {"choice": ["a"]}}}, "space: gives 'model.name' twice"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_what_is(changes: dict, message: str) -> None:
    assert message in refusal(**changes)


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ([{"bottleneck.beta": 0.5}], "first[0]: 'bottleneck.beta' is 0.5; allowed by the space: 10^-p with p in 1, 2"),
        ([{"bottleneck.bta": 0.1}], "first[0]: 'bottleneck.bta' is not in the space; allowed: bottleneck.beta"),
        ([{"bottleneck.beta": 0.1}, {"bottleneck.beta": 0.1}], "first[1]: is the same point as first[0]"),
        ([3], "first[0]: is 3; allowed: a mapping"),
        ([{"bottleneck.beta": 0.1}] * 5, "first: has 5 points, but there are 4 trials"),
    ],
)
def test_first_points_must_lie_in_the_space(first: list, message: str) -> None:
    assert message in refusal(first=first)


def test_first_points_are_stored_as_they_would_be_drawn() -> None:
    found = spec(space={"bottleneck.latent_dim": {"choice": [16, 32]}}, first=[{"bottleneck": {"latent_dim": 16.0}}])
    assert repr(found.first) == "({'bottleneck.latent_dim': 16},)"


def test_every_problem_is_in_one_message_in_the_files_order(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "name: a/b\ntrial: {}\nspace:\n  bottleneck.beta: {int: [3, 1]}\ntrials: 2\n"
        "scheduler:\n  name: asha\n  grace_epoch: 3\nfinalists: {top: x}\n"
    )
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{path}: 4 problems:"
    assert [line.split(": ")[0].strip() for line in lines[1:]] == ["line 1", "line 4", "line 8", "line 9"]
    assert "scheduler.grace_epoch" in lines[3]


def test_a_single_problem_is_one_sentence_with_file_line_and_field(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("name: a\ntrial: {}\nspace:\n  bottleneck.beta: {power_of_ten: [1]}\ntrials: no\n")
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert str(caught.value) == f"{path}:5: trials: is 'no'; allowed: a whole number."


@pytest.mark.parametrize("text", ["3", "[]", "name"])
def test_a_document_that_is_no_mapping_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(SpecError, match="is not a mapping"):
        load_spec(tmp_path / "s.yaml")


def test_missing_sections_are_named() -> None:
    with pytest.raises(SpecError) as caught:
        SearchSpec.from_dict({})
    for field in ("name", "trial", "space", "trials"):
        assert f"{field}: is missing" in str(caught.value)


GRID = {"a": {"choice": [1, 2]}, "b": {"int": [1, 3]}}


def test_a_grid_is_as_long_as_its_points_unless_told_otherwise() -> None:
    without = {key: value for key, value in MINIMAL.items() if key != "trials"}
    assert SearchSpec.from_dict({**without, "space": GRID, "sampler": "grid"}).trials == 6
    assert spec(space=GRID, sampler={"name": "grid"}, trials=5).trials == 5
    assert "trials: is 7, but the grid has 6 points" in refusal(space=GRID, sampler="grid", trials=7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampler": "grid", "space": {"a": {"float": [0, 1]}}}, "space.a: has infinitely many values"),
        ({"sampler": "grid", "space": GRID, "first": [{"a": 1}]}, "first[0]: leaves out 'b'"),
        ({"sampler": "cmaes", "space": {"a": {"choice": ["x", "y"]}}}, "space.a: is a choice of words"),
        (
            {"sampler": "cmaes", "objectives": [{"metric": m, "goal": "minimize"} for m in ("a", "b")]},
            "sampler.name: is cmaes, which takes one objective",
        ),
    ],
)
def test_samplers_refuse_what_they_cannot_do(changes: dict, message: str) -> None:
    assert message in refusal(**changes)


def test_the_scheduler_follows_the_objectives() -> None:
    objectives = [{"metric": "val_nll", "goal": "minimize"}, {"metric": "interp_centered_pct", "goal": "maximize"}]
    assert spec(objectives=objectives, scheduler="asha").scheduler.metric == "val_nll"
    second = spec(objectives=objectives, scheduler={"name": "asha", "metric": "interp_centered_pct"}).scheduler
    assert (second.metric, second.goal) == ("interp_centered_pct", "maximize")
