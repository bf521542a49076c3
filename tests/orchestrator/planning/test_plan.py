"""What a search will do and cost, and what the plan refuses."""

import json
from pathlib import Path

import pytest

import search_spaces
from orchestrator.errors import PreflightError
from orchestrator.planning.capacity import Node
from orchestrator.planning.check import Check
from orchestrator.planning.cost import LowHigh
from orchestrator.planning.plan import make_plan, rung_epochs, search_epochs
from orchestrator.planning.trials import check_trials, resolve_trial
from search_spaces.schema import SearchSpec, load_spec
from trainables.errors import ConfigError

SHIPPED = sorted(Path(search_spaces.__file__).parent.rglob("*.yaml"))
LAPTOP, SERVER = [Node("local", 2, 0)], [Node("a", 32, 8), Node("b", 32, 8)]


def spec(**changes: object) -> SearchSpec:
    given = {"name": "s", "trial": {"epochs": 9}, "space": {"bottleneck.beta": {"float": [0.1, 0.2]}}, "trials": 27}
    return SearchSpec.from_dict({**given, **changes})


ASHA = {"name": "asha", "grace_epochs": 1, "reduction_factor": 3}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_searches_plan_on_a_server(path: Path) -> None:
    plan = make_plan(load_spec(path), SERVER, 10.0)
    assert plan.slots >= 1
    assert json.loads(json.dumps(plan.to_json(), allow_nan=False))["study"] == plan.spec.name
    assert plan.spec.name in plan.render()


@pytest.mark.parametrize("name", ["demo", "cifar10_small"])
def test_the_small_searches_plan_on_a_laptop(name: str) -> None:
    path = next(path for path in SHIPPED if path.stem == name)
    plan = make_plan(load_spec(path), LAPTOP)
    assert (plan.slots, plan.gpu_hours) == (2, None)
    assert plan.total_epochs.high < 200


def test_the_big_search_is_refused_on_a_laptop() -> None:
    path = next(path for path in SHIPPED if path.stem == "cifar10_vgg_aib_qt")
    with pytest.raises(PreflightError, match="gpus_per_worker"):
        make_plan(load_spec(path), LAPTOP)


@pytest.mark.parametrize(
    ("grace", "factor", "epochs", "rungs"),
    [(1, 3, 9, (1, 3)), (1, 3, 10, (1, 3, 9)), (25, 4, 200, (25, 100)), (3, 4, 200, (3, 12, 48, 192)), (9, 3, 9, ())],
)
def test_rungs_are_grace_times_powers_below_the_last_epoch(grace: int, factor: int, epochs: int, rungs: tuple) -> None:
    rule = {"name": "asha", "grace_epochs": grace, "reduction_factor": factor}
    assert rung_epochs(spec(scheduler=rule), epochs) == rungs
    assert rung_epochs(spec(), epochs) == ()


@pytest.mark.parametrize(
    ("trials", "epochs", "rungs", "factor", "low"),
    [
        (27, 9, (1, 3), 3, 27 * 1 + 9 * 2 + 3 * 6),
        (10, 6, (1, 3), 3, 10 * 1 + 3 * 2 + 1 * 3),
        (2, 9, (1, 3), 3, 2 * 1 + 1 * 2 + 1 * 6),  # one always goes on
        (5, 9, (), 3, 45),
        (64, 200, (3, 12, 50), 4, 64 * 3 + 16 * 9 + 4 * 38 + 1 * 150),  # about 10 epochs a trial
    ],
)
def test_epochs_lie_between_halving_and_all_in_full(
    trials: int, epochs: int, rungs: tuple, factor: int, low: int
) -> None:
    assert search_epochs(trials, epochs, rungs, factor) == LowHigh(low, trials * epochs)


def test_hours_count_workers_gpus_and_finalists() -> None:
    resources = {"workers_per_trial": 2, "gpus_per_worker": 1, "cpus_per_worker": 4}
    plan = make_plan(spec(scheduler=ASHA, finalists={"top": 2, "seeds": 2}, resources=resources), SERVER, 36.0)
    low, high = 63 + 36, 243 + 36
    assert plan.slots == 8
    assert plan.total_epochs == LowHigh(low, high)
    assert plan.worker_hours == pytest.approx((low * 2 / 100, high * 2 / 100))
    assert plan.gpu_hours == plan.worker_hours
    # Low: one trial in full is longer than 63 epochs over 8 slots. High: 27 trials are four rounds of 8 slots.
    assert plan.wall_hours == pytest.approx(((9 + 9) / 100, (4 * 9 + 9) / 100))
    assert make_plan(spec(), LAPTOP, 36.0).gpu_hours == (0, 0)


def test_retraining_on_other_workers_costs_between_perfect_scaling_and_no_gain() -> None:
    finalists = {"top": 2, "seeds": 2, "workers_per_trial": [2, 4]}
    plan = make_plan(spec(trials=9, finalists=finalists), [Node("n0", 6, 0)], 100.0)
    assert (plan.capacity.shape, plan.retrain_capacity.shape) == ((1,) * 6, (4, 2))
    assert plan.to_json()["finalist_workers"] == [4, 2]
    search, retrained = 9 * 9 * 100, 4 * 9 * 100
    assert plan.worker_hours == pytest.approx(((search + retrained) / 3600, (search + 4 * retrained) / 3600))
    # Nine trials in six slots are two rounds, four retrainings in two slots as well; an epoch of one takes 25 to 100 s.
    rounds = 2 * 9 * 100
    assert plan.wall_hours == pytest.approx(((rounds + 2 * 9 * 25) / 3600, (rounds + 2 * 9 * 100) / 3600))
    assert "of 4, 2 workers now and 2 to 4" in plan.render()


def test_there_are_no_more_slots_than_retrainings() -> None:
    finalists = {"top": 1, "seeds": 2, "workers_per_trial": 1}
    assert make_plan(spec(finalists=finalists), [Node("n0", 8, 0)]).retrain_capacity.shape == (1, 1)


@pytest.mark.parametrize("workers", [None, 1, [1, 2]])
def test_a_search_without_finalists_costs_its_trials_alone(workers: object) -> None:
    finalists = {"top": 0, "workers_per_trial": workers}
    plan = make_plan(spec(trials=9, finalists=finalists), [Node("n0", 3, 0)], 100.0)
    assert plan.finalist_epochs == 0
    assert plan.total_epochs == plan.search_epochs
    assert plan.worker_hours == pytest.approx((9 * 9 * 100 / 3600,) * 2)
    assert "finalists  none" in plan.render()


def test_a_resumed_study_may_keep_a_metric_that_earlier_versions_took() -> None:
    former = spec(objectives=[{"metric": "test_error_pct", "goal": "minimize"}])
    assert check_trials(former, resumed=True).epochs == 9
    with pytest.raises(ConfigError, match="test images"):
        check_trials(former)


def test_hours_are_unknown_without_the_time_of_an_epoch() -> None:
    plan = make_plan(spec(), LAPTOP)
    assert (plan.worker_hours, plan.gpu_hours, plan.wall_hours) == (None, None, None)
    assert plan.to_json()["gpu_hours"] is None
    assert "--seconds-per-epoch" in plan.render()
    with pytest.raises(ConfigError, match="seconds per epoch"):
        make_plan(spec(), LAPTOP, float("nan"))


def test_there_are_no_more_finalists_than_trials() -> None:
    assert make_plan(spec(trials=1, finalists={"top": 3, "seeds": 2}), LAPTOP).finalist_epochs == 2 * 9


def test_a_suggestion_goes_over_the_trial_section_and_the_recipe_follows_the_model() -> None:
    found = resolve_trial(spec(space={"model": {"choice": ["vgg-aib", "wrn-aib"]}}), {"model.name": "wrn-aib"})
    assert (found.epochs, found.attention.num_anchors, found.optim.decay_factor) == (9, 50, 0.3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": {"bottleneck.bta": {"choice": [1]}}}, "space: unknown trial field 'bottleneck.bta'; did you mean"),
        ({"space": {"bottleneck": {"choice": [1]}}}, "space: unknown trial field 'bottleneck'"),
        ({"trial": {"epochz": 3}}, "trial: unknown trial field 'epochz'; did you mean 'epochs'?"),
        ({"trial": {"recipe": "papr"}}, "trial: trial field 'recipe' is 'papr'"),
        ({"trial": {"epochs": 0}}, "trial: trial field 'epochs' is 0"),
        ({"space": {"bottleneck.beta": {"float": [-1, 1]}}}, "space 'bottleneck.beta': "),
        ({"space": {"model.dropout": {"float": [0, 1]}}}, "space 'model.dropout': "),
        ({"space": {"attention.num_anchors": {"int": [1, 5]}}}, "space 'attention.num_anchors': "),
        ({"space": {"attention.num_anchors": {"float": [2.0, 10.0]}}}, "space 'attention.num_anchors': "),
        ({"space": {"bottleneck.units": {"choice": ["nats", "bit"]}}}, "space 'bottleneck.units': "),
        ({"trial": {}, "space": {"epochs": {"int": [1, 5]}}}, "'epochs' cannot vary"),
        (
            {"space": {"dataset": {"choice": ["cluttered-digits", "cifar10"]}}},
            "space: 'data.name' cannot vary, since trials are compared on the same images; fix it in trial.",
        ),
        ({"space": {"data.image_size": {"choice": [16, 32]}}}, "space: 'data.image_size' cannot vary"),
        ({"space": {"data.stored_size": {"choice": [32, 40]}}}, "space: 'data.stored_size' cannot vary"),
        ({"space": {"data.split_seed": {"int": [0, 3]}}}, "space: 'data.split_seed' cannot vary"),
        ({"space": {"data.val_images": {"int": [10, 90]}}}, "space: 'data.val_images' cannot vary"),
        ({"space": {"data.test_images": {"int": [10, 90]}}}, "space: 'data.test_images' cannot vary"),
        ({"space": {"evaluation.interp_epoch_images": {"int": [9, 99]}}}, "'evaluation.interp_epoch_images' cannot"),
        ({"space": {"evaluation.interp_images": {"choice": [9, None]}}}, "'evaluation.interp_images' cannot vary"),
        (
            {"space": {"evaluation.occluder_dataset": {"choice": ["svhn", "cluttered-digits"]}}},
            "space: 'evaluation.occluder_dataset' cannot vary",
        ),
        (
            {"objectives": [{"metric": "val_eror_pct", "goal": "minimize"}]},
            "objectives[0].metric is 'val_eror_pct', which is not known after every epoch; did you mean 'val_error",
        ),
        (
            {"objectives": [{"metric": "final_test_error_pct", "goal": "minimize"}]},
            "objectives[0].metric is 'final_test_error_pct', which is not known after every epoch",
        ),
        (
            {"objectives": [{"metric": "test_error_pct", "goal": "minimize"}]},
            "objectives[0].metric is 'test_error_pct': a search must not select by its test images",
        ),
        ({"constraints": [{"metric": "test_error_pct", "at_most": 9}]}, "use val_error_pct"),
        (
            {"scheduler": {**ASHA, "metric": "test_error_pct", "goal": "minimize"}},
            "scheduler.metric is 'test_error_pct'",
        ),
        ({"constraints": [{"metric": "attention", "at_least": 0}]}, "constraints[0].metric is 'attention'"),
        ({"scheduler": {**ASHA, "metric": "zzz", "goal": "minimize"}}, "scheduler.metric is 'zzz'"),
        (
            {"scheduler": {**ASHA, "grace_epochs": 10}},
            "scheduler.grace_epochs is 10; allowed: at most the trial's epochs (9)",
        ),
        ({"trial": {"optim.batch_size": 2}, "resources": {"workers_per_trial": 3}}, "resources.workers_per_trial is 3"),
        (
            {"trial": {"optim.batch_size": 2}, "finalists": {"workers_per_trial": [1, 3]}},
            "finalists.workers_per_trial is 3; allowed: at most the global batch",
        ),
    ],
)
def test_what_cannot_become_trials_is_refused_with_its_field(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_plan(spec(**changes), SERVER)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("model", "metric"),
    [
        ("vgg", "val_attention_std"),
        ("vgg", "interp_centered_pct"),
        ("wrn", "val_kl_nats"),
        ("vgg-dvib", "val_attention_in_mask_ratio"),
        ("vgg-att3", "train_kl_nats"),
        ("vgg-aib", "train_codebook"),
        ("vgg-aib", "l1/interp_centered_pct"),
        ("vgg-att2", "l1/interp_centered_pct"),
        ("vgg-att3", "train_auxiliary_nll"),
    ],
)
@pytest.mark.parametrize("section", ["objectives", "constraints"])
def test_a_metric_that_the_model_never_reports_is_refused(section: str, model: str, metric: str) -> None:
    rule = {"goal": "minimize"} if section == "objectives" else {"at_most": 1.0}
    asked = spec(
        trial={"model": model, "epochs": 9},
        space={"optim.lr": {"choice": [0.1, 0.2]}},
        **{section: [{"metric": metric, **rule}]},
    )
    with pytest.raises(ConfigError) as caught:
        make_plan(asked, SERVER)
    message = str(caught.value)
    assert message.startswith(f"{section}[0].metric is '{metric}', which {model} never reports; allowed for it: ")
    assert "val_error_pct" in message
    assert f"{metric}," not in message.partition(";")[2]


def test_every_model_of_the_space_must_report_what_steers() -> None:
    space = {"model.name": {"choice": ["vgg-aib", "vgg-att3", "vgg-dvib"]}}
    with pytest.raises(ConfigError, match="'val_attention_std', which vgg-dvib never reports"):
        make_plan(spec(space=space, trials=3, constraints=[{"metric": "val_attention_std", "at_least": 0}]), SERVER)
    kept = {"model.name": {"choice": ["vgg-aib", "vgg-att3"]}}
    make_plan(spec(space=kept, trials=2, constraints=[{"metric": "val_attention_std", "at_least": 0}]), SERVER)


def test_a_further_map_may_steer_and_is_then_scored_every_epoch() -> None:
    objective = {"metric": "l1/interp_centered_pct", "goal": "maximize"}
    plan = make_plan(
        spec(
            trial={"model": "vgg-att3", "epochs": 9}, space={"optim.lr": {"choice": [0.1, 0.2]}}, objectives=[objective]
        ),
        SERVER,
    )
    assert plan.forced == {"evaluation.interp_every_epochs": 1}


def test_a_scheduler_that_is_off_names_no_metric() -> None:
    make_plan(spec(scheduler={"name": "none", "metric": "zzz", "grace_epochs": 500}), LAPTOP)


@pytest.mark.parametrize(
    "changes",
    [
        {"objectives": [{"metric": "interp_centered_pct", "goal": "maximize"}]},
        {"constraints": [{"metric": "interpretability_pct", "at_least": 50}]},
        {"scheduler": {**ASHA, "metric": "interp_centered_pct", "goal": "maximize"}},
    ],
)
def test_steering_by_interpretability_scores_every_epoch(changes: dict) -> None:
    plan = make_plan(spec(**changes), LAPTOP)
    assert plan.forced == {"evaluation.interp_every_epochs": 1}
    assert plan.to_json()["forced"] == plan.forced
    assert "evaluation.interp_every_epochs = 1" in plan.render()
    assert resolve_trial(plan.spec, {"bottleneck.beta": 0.2}).evaluation.interp_every_epochs == 1


def test_nothing_is_forced_where_the_trial_says_how_often_or_nobody_asks() -> None:
    interp = [{"metric": "interp_centered_pct", "goal": "maximize"}]
    given = make_plan(spec(objectives=interp, trial={"evaluation.interp_every_epochs": 3, "epochs": 9}), LAPTOP)
    assert (given.forced, given.trial.evaluation.interp_every_epochs) == ({}, 3)
    assert make_plan(spec(), LAPTOP).trial.evaluation.interp_every_epochs == 0


def test_notes_tell_what_is_seldom_meant_and_pass_others_checks_on() -> None:
    noted = spec(
        trial={"epochs": 60, "model": "vgg-aib"},
        scheduler=ASHA,
        space={"attention.num_anchors": {"int": [2, 9]}},
        trials=8,
    )
    checks = make_plan(noted, LAPTOP, checks=[Check("data", True, "there")]).checks
    assert [(check.name, check.ok) for check in checks] == [("data", True), ("grace", False), ("space", False)]
    assert "epoch 26" in checks[1].message
    assert "attention.num_anchors (vgg-aib has no quantiser)" in checks[2].message
    assert make_plan(spec(scheduler=ASHA), LAPTOP).checks == ()


def test_more_trials_than_different_points_are_noted() -> None:
    few = {"bottleneck.beta": {"choice": [0.1, 0.2]}, "bottleneck.latent_dim": {"choice": [8, 16]}}
    (check,) = make_plan(spec(space=few, trials=5), LAPTOP).checks
    assert (check.name, check.ok) == ("trials", False)
    assert "4 different points for 5 trials" in check.message
    assert make_plan(spec(space=few, trials=4), LAPTOP).checks == ()


def test_fields_that_no_model_of_the_search_uses_are_noted() -> None:
    given = {"epochs": 9, "model": "vgg", "bottleneck.latent_dim": 64, "evaluation.interp_every_epochs": 1}
    (space, trial) = make_plan(spec(trial=given), LAPTOP).checks
    assert (space.name, space.ok, trial.name, trial.ok) == ("space", False, "trial", False)
    assert "bottleneck.beta (vgg has no bottleneck)" in space.message
    assert "bottleneck.latent_dim (vgg has no bottleneck)" in trial.message
    assert "evaluation.interp_every_epochs (vgg has no spatial map)" in trial.message
    mixed = {"model.name": {"choice": ["vgg", "vgg-dvib"]}, "bottleneck.beta": {"float": [0.1, 0.2]}}
    assert make_plan(spec(space=mixed), LAPTOP).checks == ()
