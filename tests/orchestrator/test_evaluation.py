"""`aib evaluate` on exported models with a map, with several and with none."""

from pathlib import Path

import pytest

from orchestrator.evaluation import evaluate_model
from tests.trainables.tiny import tiny_trial
from trainables import metrics
from trainables.errors import ConfigError
from trainables.export import LoadedModel, export_model, load_exported
from trainables.models.build import build_model

CLASSES = tuple("0123456789")
ERRORS = {"test_error_pct", "test_error_top5_pct", "test_nll"}
MAPS = {"test_attention_std", "test_attention_entropy", *metrics.LOCALIZATION}


def exported(folder: Path, model: str) -> LoadedModel:
    config = tiny_trial(model=model, data__test_images=30)
    return load_exported(export_model(folder, build_model(config, 10).state_dict(), config, CLASSES, {}, {}, "# card"))


@pytest.mark.parametrize(
    ("model", "measured"),
    [
        ("vgg", ERRORS),
        ("vgg-dvib", ERRORS | {"test_kl_nats"}),
        ("wrn-abn", ERRORS | MAPS),
        ("vgg-aib", ERRORS | MAPS | {"test_kl_nats"}),
    ],
)
def test_a_model_is_measured_by_what_it_has(digits_root: Path, tmp_path: Path, model: str, measured: set[str]) -> None:
    found = evaluate_model(exported(tmp_path / "export", model), digits_root, None, with_interpretability=False)
    assert (found["dataset"], found["num_images"]) == ("cluttered-digits", 30)
    assert set(found["metrics"]) == measured


def test_every_map_is_scored_and_a_model_without_one_is_refused(digits_root: Path, tmp_path: Path) -> None:
    found = evaluate_model(exported(tmp_path / "att", "vgg-att3"), digits_root, None, with_interpretability=True)
    further = {metrics.of_map(name, metric) for name in ("l1", "l2") for metric in metrics.INTERP_FURTHER}
    assert set(found["metrics"]) == {*ERRORS, *MAPS, *metrics.INTERPRETABILITY, *further}
    with pytest.raises(ConfigError, match="wrn has no spatial map to score; leave out --interpretability"):
        evaluate_model(exported(tmp_path / "wrn", "wrn"), digits_root, None, with_interpretability=True)
