import hashlib
import json
from typing import Any

import pytest

from orchestrator.registry.gate import Candidate, GateRules, decide, refuse

NAN, INF = float("nan"), float("inf")


def candidate(**changes: Any) -> Candidate:
    fields: dict[str, Any] = {
        "name": "study/f1-seed1",
        "val_error_pct": 20.0,
        "val_error_std_pct": None,
        "num_seeds": 1,
        "interp_centered_pct": 50.0,
        "interp_centered_chance_pct": 1.0,
        "attention_std": 0.1,
        "data_digest": "a" * 64,
        "recorded_error_pct": 20.0,
        "reloaded_error_pct": 20.0,
        "num_val_images": 1000,
        "constant_error_pct": 90.0,
    }
    return Candidate(**{**fields, **changes})


def failed(challenger: Candidate, champion: Candidate | None, rules: GateRules | None = None) -> list[str]:
    decision = decide(challenger, champion, rules or GateRules())
    wrong = [reason.rule for reason in decision.reasons if not reason.passed]
    assert decision.promote == (not wrong)
    return wrong


def test_a_borderline_image_seen_otherwise_on_another_device_is_no_other_model() -> None:
    assert failed(candidate(reloaded_error_pct=20.04), None) == []


def test_a_sound_first_champion_is_promoted() -> None:
    assert failed(candidate(val_error_pct=95.0), None) == []


@pytest.mark.parametrize(
    ("error", "constant", "images", "refused"),
    [
        # 16 right of 100 has probability 0.040 at one in ten, 15 right 0.073.
        (84.0, 90.0, 100, False),
        (85.0, 90.0, 100, True),
        (90.0, 90.0, 26000, True),
        # Most images are of one class: 5 % error is the constant answer, 2 % is a better model.
        (5.0, 5.0, 400, True),
        (2.0, 5.0, 400, False),
        (0.0, 0.0, 50, True),
        (100.0, 90.0, 50, True),
    ],
)
def test_a_model_no_better_than_the_most_frequent_class_is_refused(
    error: float, constant: float, images: int, refused: bool
) -> None:
    found = candidate(
        recorded_error_pct=error, reloaded_error_pct=error, constant_error_pct=constant, num_val_images=images
    )
    assert failed(found, None) == (["above-chance"] if refused else [])
    assert failed(found, None, GateRules(max_chance=1.0)) == []


def test_a_champion_of_a_former_version_has_no_record_of_its_images() -> None:
    old = candidate(num_val_images=None, constant_error_pct=None)
    assert failed(candidate(), old) == []
    assert "not checked" in next(r.text for r in decide(old, None, GateRules()).reasons if r.rule == "above-chance")


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"attention_std": 0.0199}, "alive"),
        ({"interp_centered_chance_pct": 50.1}, "image-dependent"),
        ({"reloaded_error_pct": 20.2}, "reload"),
        ({"reloaded_error_pct": 19.8}, "reload"),
    ],
)
@pytest.mark.parametrize("champion", [None, candidate(val_error_pct=90.0)], ids=["first", "with-champion"])
def test_a_broken_model_is_refused_with_or_without_a_champion(
    changes: dict[str, Any], rule: str, champion: Candidate | None
) -> None:
    assert failed(candidate(**changes), champion) == [rule]


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize(
    "field",
    ["val_error_pct", "val_error_std_pct", "interp_centered_pct", "attention_std", "recorded_error_pct"],
)
def test_a_figure_that_is_not_finite_is_refused(field: str, value: float) -> None:
    assert "finite" in failed(candidate(**{field: value}), None)
    assert "finite" in failed(candidate(**{field: value}), candidate())


@pytest.mark.parametrize(
    ("challenger", "champion", "margin", "promoted"),
    [
        # (mean, std, seeds) of the error. Without spread and margin, an equal error passes and a larger one does not.
        ((19.9, None, 1), (20.0, None, 1), 0.0, True),
        ((20.0, None, 1), (20.0, None, 1), 0.0, True),
        ((20.01, None, 1), (20.0, None, 1), 0.0, False),
        # The margin of the rules.
        ((20.5, None, 1), (20.0, None, 1), 0.5, True),
        ((20.51, None, 1), (20.0, None, 1), 0.5, False),
        # Standard error of the difference: sqrt(0.9^2 / 9 + 1.2^2 / 9) = 0.5.
        ((20.499, 0.9, 9), (20.0, 1.2, 9), 0.0, True),
        ((20.501, 0.9, 9), (20.0, 1.2, 9), 0.0, False),
        # One side's spread alone: sqrt(1.0^2 / 4) = 0.5.
        ((20.499, 1.0, 4), (20.0, None, 1), 0.0, True),
        ((20.501, 1.0, 4), (20.0, None, 1), 0.0, False),
        # The larger of the two decides, not their sum.
        ((20.6, 1.0, 4), (20.0, None, 1), 0.3, False),
        ((20.6, 1.0, 4), (20.0, None, 1), 0.7, True),
    ],
)
def test_the_error_may_exceed_the_champions_by_the_spread_or_the_margin(
    challenger: tuple[float, float | None, int],
    champion: tuple[float, float | None, int],
    margin: float,
    promoted: bool,
) -> None:
    new, old = (
        candidate(val_error_pct=mean, val_error_std_pct=std, num_seeds=seeds)
        for mean, std, seeds in (challenger, champion)
    )
    expected = [] if promoted else ["error"]
    assert failed(new, old, GateRules(error_margin_pct=margin)) == expected


@pytest.mark.parametrize(("score", "promoted"), [(60.0, True), (48.0, True), (47.99, False)])
def test_interpretability_may_drop_by_its_margin_only(score: float, promoted: bool) -> None:
    assert (failed(candidate(interp_centered_pct=score), candidate()) == []) == promoted


def test_a_better_error_does_not_buy_a_worse_map() -> None:
    assert failed(candidate(val_error_pct=1.0, interp_centered_pct=10.0), candidate()) == ["interpretability"]


def test_errors_on_other_data_are_not_compared() -> None:
    assert failed(candidate(val_error_pct=1.0), candidate(data_digest="b" * 64)) == ["data"]


OLD = "a" * 64
"""`data_digest` of an earlier version: of data, split seed and number of validation images together."""
ITS_IMAGES = hashlib.sha256(json.dumps(["d" * 64, 0, 60]).encode()).hexdigest()


@pytest.mark.parametrize(
    ("champion", "said"),
    [
        ({"data_digest": "d" * 64, "split_seed": 0, "asked_val_images": 60}, None),
        ({"data_digest": ITS_IMAGES}, None),
        (
            {"data_digest": "e" * 64, "split_seed": 0, "asked_val_images": 60},
            "data digest eeeeeeeeeeee, not dddddddddddd",
        ),
        (
            {"data_digest": "d" * 64, "split_seed": 1, "asked_val_images": 60},
            "split seed 1 and 60 images, not 0 and 60",
        ),
        ({"data_digest": OLD}, f"digest aaaaaaaaaaaa, not {ITS_IMAGES[:12]}"),
    ],
    ids=["same", "same of an earlier version", "other data", "other split", "other of an earlier version"],
)
def test_validation_images_are_the_data_and_their_choice(champion: dict[str, Any], said: str | None) -> None:
    new = candidate(data_digest="d" * 64, split_seed=0, asked_val_images=60)
    decision = decide(new, candidate(**champion), GateRules())
    assert decision.promote == (said is None)
    assert said is None or said in decision.reasons[-1].text


def test_every_rule_that_applies_is_reported_even_after_one_failed() -> None:
    decision = decide(candidate(attention_std=0.0, val_error_pct=99.0), candidate(), GateRules())
    rules = [reason.rule for reason in decision.reasons]
    assert rules == ["finite", "above-chance", "alive", "image-dependent", "reload", "error", "interpretability"]
    assert decision.to_dict()["reasons"][2]["passed"] is False
    assert "99.00" in decision.to_dict()["reasons"][5]["text"]


def test_a_refusal_before_any_comparison_names_its_rule() -> None:
    decision = refuse("finalists", "none finished")
    assert not decision.promote
    assert decision.reasons == (("finalists", False, "none finished"),)


MAPLESS: dict[str, Any] = {"interp_centered_pct": None, "interp_centered_chance_pct": None, "attention_std": None}


@pytest.mark.parametrize("champion", [None, candidate(**MAPLESS)], ids=["first", "none"])
def test_among_models_without_maps_the_error_alone_judges_and_the_gate_says_so(champion: Candidate | None) -> None:
    decision = decide(candidate(**MAPLESS), champion, GateRules())
    assert decision.promote
    said = {reason.rule: reason.text for reason in decision.reasons}
    assert said["alive"] == said["image-dependent"] == f"not checked: {candidate().name} has no spatial map"
    assert failed(candidate(**MAPLESS, reloaded_error_pct=20.2), champion) == ["reload"]


def test_a_model_without_maps_does_not_take_the_place_of_one_that_has_them() -> None:
    assert failed(candidate(**MAPLESS), candidate()) == ["interpretability"]
    assert failed(candidate(**MAPLESS, val_error_pct=30.0), candidate()) == ["error", "interpretability"]


def test_a_champion_without_maps_is_compared_by_error_alone() -> None:
    champion = candidate(**MAPLESS, name="old")
    said = {reason.rule: reason.text for reason in decide(candidate(), champion, GateRules()).reasons}
    assert said["interpretability"] == "not compared: the champion old has no spatial map"
    assert failed(candidate(attention_std=0.0), champion) == ["alive"]
