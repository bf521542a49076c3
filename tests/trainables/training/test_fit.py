"""A whole trial: complete, repeatable, resumable to the last bit, and equal on two ranks where it must be."""

import io
import math
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from tests.support.tiny_trial import on_ranks, tiny_trial, without_timings
from trainables import metrics
from trainables.checkpoints.checkpoint import (
    checkpoint_folder,
    has_tensors,
    latest_checkpoint,
    read_history,
    read_state,
    read_tensors,
    write_manifest,
)
from trainables.data.arrow_store import open_store
from trainables.data.splits import select
from trainables.errors import CheckpointError, DataError, DivergedError
from trainables.evaluation.evaluate import evaluate, final_draws
from trainables.evaluation.final_score import occluders
from trainables.models.build import MODELS, build_model
from trainables.models.traits import traits
from trainables.runtime.runtime import Runtime
from trainables.training import fit as fit_module
from trainables.training.fit import EpochReport, _distributed, _evaluate_epoch, fit
from trainables.training.state import Training


def run(root: Path, trial: Path | None = None, stop_after: int | None = None, **changes: object) -> list[EpochReport]:
    resume = latest_checkpoint(trial) if trial else None
    reports = []
    for report in fit(tiny_trial(**changes), Runtime(data_root=root), resume):
        if trial:
            report.save(checkpoint_folder(trial, report.epoch))
        reports.append(report)
        if report.epoch == stop_after:
            break
    return reports


@pytest.fixture(scope="module")
def whole(digits_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished trial's folder."""
    folder = tmp_path_factory.mktemp("whole")
    run(digits_root, folder)
    return folder


def test_every_metric_of_the_contract_is_reported(whole: Path) -> None:
    rows = read_history(latest_checkpoint(whole) or whole)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert set(metrics.searchable(traits("vgg-aib-qt"))) <= set(row)
    expected = {*metrics.FINAL, *metrics.INTERPRETABILITY, *metrics.LOCALIZATION}
    expected |= {f"test_{name}" for name in metrics.INTERPRETABILITY}
    assert expected <= set(rows[-1])
    assert not expected & set(metrics.FINAL) & set(rows[0])


SHORT = {
    "data__train_images": 40,
    "data__val_images": 20,
    "data__test_images": 20,
    "evaluation__interp_images": 20,
    "evaluation__interp_epoch_images": 20,
    "epochs": 1,
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_reports_what_it_has_and_nothing_else(digits_root: Path, name: str) -> None:
    has, row = traits(name), run(digits_root, model=name, **SHORT)[-1].metrics
    further = {metrics.of_map(key, metric) for key in has.maps[1:] for metric in metrics.INTERP_FURTHER}
    expected = {*metrics.searchable(has), "epoch", *metrics.FINAL, *further, *map(metrics.on_test, further)}
    if has.maps:
        expected |= {*metrics.INTERPRETABILITY, *map(metrics.on_test, metrics.INTERPRETABILITY)}
        expected |= {*metrics.LOCALIZATION, "interp_epoch"}
    else:
        expected.remove("final_val_attention_std")
    assert set(row) == expected


def test_only_a_model_with_maps_needs_occluders(digits_root: Path) -> None:
    elsewhere = {"evaluation__occluder_dataset": "svhn", **SHORT}
    with pytest.raises(DataError, match="'svhn', whose images occlude others"):
        run(digits_root, model="vgg-gap", **elsewhere)
    assert run(digits_root, model="vgg", **elsewhere)[-1].metrics["best_epoch"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("interrupted_after", [1, 2])
def test_a_resumed_trial_equals_the_uninterrupted_one_bit_for_bit(
    digits_root: Path, tmp_path: Path, whole: Path, interrupted_after: int
) -> None:
    run(digits_root, tmp_path, stop_after=interrupted_after)
    # Draws from the global generator between the runs must have no effect.
    torch.rand(17)
    resumed = run(digits_root, tmp_path)
    assert [report.epoch for report in resumed] == list(range(interrupted_after + 1, 4))
    ours, theirs = latest_checkpoint(tmp_path), latest_checkpoint(whole)
    assert ours is not None
    assert theirs is not None
    for name in ("model", "best", "optimizer", "examples", "verdicts"):
        a, b = read_tensors(ours, name), read_tensors(theirs, name)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)
    assert without_timings(read_history(ours)) == without_timings(read_history(theirs))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["wrn-aib", "wrn-abn", "vgg-pan", "vgg"])
def test_another_model_resumes_bit_for_bit(digits_root: Path, tmp_path: Path, model: str) -> None:
    """Dropout, a second head, several maps and none at all."""
    small = {"model": model, "data__train_images": 40, "epochs": 2, "evaluation__interp_every_epochs": 0}
    whole = run(digits_root, tmp_path / "whole", **small)
    run(digits_root, tmp_path / "cut", stop_after=1, **small)
    torch.rand(3)
    resumed = run(digits_root, tmp_path / "cut", **small)
    assert without_timings([resumed[-1].metrics]) == without_timings([whole[-1].metrics])


BIRDS = {
    "model__backbone": "wrn-50-2",
    "model": "wrn-aib-qt",
    "data__train_images": 40,
    "epochs": 3,
    "evaluation__interp_every_epochs": 0,
    "optim__algorithm": "adam",
    "optim__betas": [0.5, 0.999],
    "optim__lr": 1e-3,
    "optim__weight_decay": 0.0,
    "optim__anchor_lr_ratio": 0.0,
    "optim__ema_decay": 0.8,
    "model__pretrained": "none",
}
"""The special features of the released recipe for CUB-200, on a small scale."""


@pytest.mark.slow
def test_adam_and_the_averaged_weights_resume_bit_for_bit(digits_root: Path, tmp_path: Path) -> None:
    whole = run(digits_root, tmp_path / "whole", **BIRDS)
    run(digits_root, tmp_path / "cut", stop_after=1, **BIRDS)
    torch.rand(3)
    resumed = run(digits_root, tmp_path / "cut", **BIRDS)
    assert without_timings(resumed[-1].history) == without_timings(whole[-1].history)
    ours, theirs = latest_checkpoint(tmp_path / "cut"), latest_checkpoint(tmp_path / "whole")
    assert ours is not None
    assert theirs is not None
    for name in ("model", "best", "optimizer", "average"):
        a, b = read_tensors(ours, name), read_tensors(theirs, name)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)
    assert torch.equal(read_tensors(ours, "model")["quantizer.anchors"], torch.linspace(0, 1, 50))


@pytest.mark.slow
def test_the_better_of_raw_and_averaged_weights_is_reported_and_kept(digits_root: Path, whole: Path) -> None:
    config, runtime = tiny_trial(optim__ema_decay=0.9), Runtime(data_root=digits_root)
    store = open_store(digits_root, "cluttered-digits", 16)
    subsets, occluders_MHWC = select(store, config.data), occluders(config, runtime)
    trained = read_tensors(latest_checkpoint(whole) or whole, "best")
    kept = {}
    for place in ("raw", "ema"):
        training = Training.start(config, store, runtime)
        assert training.average is not None
        models = {"raw": training.model, "ema": training.average.model}
        models[place].load_state_dict(trained)
        found, evaluated = _evaluate_epoch(training, subsets, occluders_MHWC, 1, runtime)
        training.finish_epoch(1, found, evaluated)
        chosen = next(name for name, model in models.items() if model is evaluated)
        assert found["val_error_pct"] == min(found["val_raw_error_pct"], found["val_ema_error_pct"])
        assert found["val_error_pct"] == found[f"val_{chosen}_error_pct"]
        assert found["test_error_pct"] == found[f"test_{chosen}_error_pct"]
        kept[chosen] = training.best_weights
    # The better of the two sets of weights is the better one in both runs.
    assert set(kept) == {"raw", "ema"}
    assert all(torch.equal(value, kept["ema"][name]) for name, value in kept["raw"].items())


def test_no_average_is_kept_unless_asked_for(whole: Path) -> None:
    folder = latest_checkpoint(whole)
    assert folder is not None
    assert not has_tensors(folder, "average")
    assert not set(metrics.RAW_AND_AVERAGED) & set(read_history(folder)[0])


@pytest.mark.slow
def test_a_second_trial_in_the_process_equals_the_same_in_a_fresh_one(digits_root: Path, whole: Path) -> None:
    run(digits_root, stop_after=1, numerics__num_threads=2, bottleneck__beta=0.1, seed=5)
    again = run(digits_root)
    assert without_timings(again[-1].history) == without_timings(read_history(latest_checkpoint(whole) or whole))


def test_seeds_differ(digits_root: Path) -> None:
    a, b = (run(digits_root, stop_after=1, seed=seed)[0].metrics["train_loss"] for seed in (0, 1))
    assert a != b


def test_the_final_score_is_that_of_the_best_epochs_weights(digits_root: Path, whole: Path) -> None:
    folder = latest_checkpoint(whole)
    assert folder is not None
    rows = read_history(folder)
    best = min(rows, key=lambda row: (row["val_error_pct"], row["val_nll"]))
    assert rows[-1]["best_epoch"] == best["epoch"] == read_state(folder)["best_epoch"]
    config, store = tiny_trial(), open_store(digits_root, "cluttered-digits", 16)
    model = build_model(config, store.num_classes)
    model.load_state_dict(read_tensors(folder, "best"))
    runtime = Runtime(data_root=digits_root)
    found = evaluate(model, select(store, config.data).test, "test", config, runtime, final_draws(config))
    assert (found["error_pct"], found["nll"]) == (rows[-1]["final_test_error_pct"], rows[-1]["final_test_nll"])


def test_a_checkpoint_of_another_trial_is_refused(digits_root: Path, whole: Path) -> None:
    resume = latest_checkpoint(whole)
    with pytest.raises(CheckpointError, match=r"config differs in bottleneck\.beta"):
        next(fit(tiny_trial(bottleneck__beta=0.5), Runtime(data_root=digits_root), resume))


def test_a_loss_that_is_not_finite_is_named(digits_root: Path) -> None:
    with pytest.raises(DivergedError, match="not finite in epoch 1"):
        run(digits_root, bottleneck__beta=1e30, optim__lr=10.0)


def test_a_poisoned_batch_fails_the_trial_and_leaves_its_last_good_checkpoint(
    digits_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches, augmented = [], fit_module.augment

    def poison(*arguments: Any) -> torch.Tensor:
        x_BCHW = augmented(*arguments)
        batches.append(len(x_BCHW))
        # The second batch of the second epoch.
        return x_BCHW.fill_(math.nan) if len(batches) == 5 else x_BCHW

    monkeypatch.setattr(fit_module, "augment", poison)
    with pytest.raises(DivergedError, match="the training loss is not finite in epoch 2"):
        run(digits_root, tmp_path)
    newest = latest_checkpoint(tmp_path)
    assert newest is not None
    assert [row["epoch"] for row in read_history(newest)] == [1]
    assert all(value.isfinite().all() for value in read_tensors(newest, "model").values())
    monkeypatch.undo()
    assert [report.epoch for report in run(digits_root, tmp_path, stop_after=2)] == [2]


def test_weights_that_an_epochs_last_step_breaks_are_neither_scored_nor_kept(
    digits_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every loss of the epoch is finite, and the weights after it are not."""
    step, steps = fit_module.train_step, []

    def last_breaks(model: torch.nn.Module, *arguments: Any) -> Any:
        terms = step(model, *arguments)
        steps.append(terms)
        if len(steps) == 3:
            with torch.no_grad():
                next(model.parameters()).fill_(math.inf)
        return terms

    monkeypatch.setattr(fit_module, "train_step", last_breaks)
    monkeypatch.setattr(fit_module, "score_best", lambda *_: pytest.fail("diverged weights were scored"))
    with pytest.raises(DivergedError, match=r"val_.* not finite after epoch 1"):
        run(digits_root, tmp_path, epochs=1)
    assert latest_checkpoint(tmp_path) is None


def test_every_pass_of_a_trial_has_its_memory_format(digits_root: Path) -> None:
    """Also in the final many-sample score, which builds its own model."""
    found: dict[bool, set[bool]] = {True: set(), False: set()}

    def look(module: torch.nn.Module, *_: object) -> None:
        if isinstance(module, torch.nn.Conv2d) and module.kernel_size == (3, 3) and module.in_channels > 1:
            found[torch.is_inference_mode_enabled()].add(module.weight.is_contiguous(memory_format=torch.channels_last))

    handle = torch.nn.modules.module.register_module_forward_hook(look)
    try:
        run(digits_root, numerics__channels_last=True, **SHORT)
    finally:
        handle.remove()
    assert found == {True: {True}, False: {True}}


@pytest.mark.slow
@pytest.mark.parametrize("search_draws", [1, 2])
def test_a_compiled_trial_makes_graphs_of_whole_batches_alone(
    digits_root: Path, monkeypatch: pytest.MonkeyPatch, search_draws: int
) -> None:
    """90 images in batches of 32 and 50 in batches of 20: a smaller last batch in every pass.

    With several draws the encoder's batch size varies. Only the backend differs from a real compilation, so that no
    C++ is built."""
    graphs: list[list[object]] = []

    def counting(graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        images = [x for x in inputs if isinstance(x, torch.Tensor) and x.shape[1:] == (3, 16, 16)]
        graphs.append([*map(len, images), *(x for x in inputs if not isinstance(x, torch.Tensor))])
        return graph

    compiled = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **kw: compiled(self, backend=counting, **kw))
    changes = {"numerics__compile": True, "numerics__deterministic": False, "epochs": 2}
    torch.compiler.reset()
    rows = run(digits_root, evaluation__search_attention_samples=search_draws, **changes)[-1].history
    assert graphs == ([[32], [20]] if search_draws == 1 else [[32]]), "batch size, and any size left open, of each"
    monkeypatch.undo()
    eager = run(digits_root, evaluation__search_attention_samples=search_draws, epochs=2)[-1].history
    assert [row["val_error_pct"] for row in rows] == [row["val_error_pct"] for row in eager]


class Canary:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self._path}",)


def rewritten(folder: Path, target: Path, name: str, content: bytes) -> Path:
    """A copy of a checkpoint with one file replaced, and a manifest that matches it."""
    shutil.copytree(folder, target)
    (target / name).write_bytes(content)
    (target / "manifest.json").unlink()
    write_manifest(target)
    return target


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_a_checkpoint_that_would_run_code_is_refused_unrun(
    digits_root: Path, tmp_path: Path, whole: Path, name: str
) -> None:
    canary, newest = tmp_path / "canary", latest_checkpoint(whole)
    assert newest is not None
    for number, content in enumerate((pickle.dumps(Canary(canary)), torch_pickle(Canary(canary)), b"\xff" * 64, b"{}")):
        poisoned = rewritten(newest, tmp_path / str(number), name, content)
        with pytest.raises(CheckpointError, match="cannot be read"):
            next(fit(tiny_trial(), Runtime(data_root=digits_root), poisoned))
    assert not canary.exists()
    torch.load(io.BytesIO(torch_pickle(Canary(canary))), weights_only=False)
    assert canary.exists(), "the malicious file works if it is unpickled"


def test_a_device_without_memory_is_not_taken_for_a_bad_checkpoint(digits_root: Path, whole: Path) -> None:
    config, store = tiny_trial(), open_store(digits_root, "cluttered-digits", 16)
    training = Training.start(config, store, Runtime(data_root=digits_root))

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    training.model.register_load_state_dict_pre_hook(full)
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        training.restore(latest_checkpoint(whole) or whole)


def torch_pickle(value: object) -> bytes:
    out = io.BytesIO()
    torch.save(value, out)
    return out.getvalue()


def _train(runtime: Runtime) -> tuple[list[dict[str, float]], bool]:
    reports = list(fit(tiny_trial(epochs=2, optim__ema_decay=0.9), runtime))
    store = open_store(runtime.data_root, "cluttered-digits", 16)
    model = _distributed(Training.start(tiny_trial(), store, runtime), runtime)
    assert isinstance(model, DistributedDataParallel)
    return without_timings(reports[-1].history), model.will_sync_module_buffers()


def _fail(runtime: Runtime) -> str:
    try:
        list(fit(tiny_trial(bottleneck__beta=1e30, optim__lr=10.0), runtime))
    except DivergedError as error:
        return type(error).__name__
    return "no error"


@pytest.mark.slow
def test_two_ranks_report_the_same_and_diverge_together(digits_root: Path) -> None:
    first, second = on_ranks(2, _train, digits_root)
    assert first == second
    assert [row["epoch"] for row in first[0]] == [1, 2]
    assert not first[1], "BatchNorm's statistics are sent once per epoch, not every step"
    assert on_ranks(2, _fail, digits_root) == ["DivergedError", "DivergedError"]
