"""The searcher over a real Optuna database: states, constraints, first points, and exactness across a kill."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest

from orchestrator.search.reconcile_optuna import reconcile_optuna
from orchestrator.search.searcher import StudySearcher
from orchestrator.study.journal import Journal, TrialRecord
from orchestrator.tracking.recorder import Recorder
from orchestrator.tracking.records import DatasetInput
from search_spaces.schema import SearchSpec
from tests.support.full_disk import small_disk
from trainables.config.trial import TrialConfig
from trainables.errors import StorageError

EPOCHS = 4


class SilentTracker:
    """Accepts every call; the trackers have tests of their own."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None


def spec(**changes: Any) -> SearchSpec:
    base = {
        "name": "s",
        "trial": {"model": "vgg-aib-qt", "epochs": EPOCHS},
        "space": {
            "bottleneck.beta": {"power_of_ten": [0, 1, 2, 3, 4]},
            "bottleneck.latent_dim": {"choice": [16, 32, 64]},
            "attention.num_anchors": {"int": [2, 50], "log": True},
            "attention.lambda_q": {"float": [0.05, 1.0], "log": True},
        },
        "first": [{"bottleneck.beta": 0.01, "bottleneck.latent_dim": 32}],
        "trials": 12,
    }
    return SearchSpec.from_dict({**base, **changes})


class KilledError(BaseException):
    """Ends a driver at a given point of a test."""


class Search:
    """One driver's calls of the searcher, as Tune makes them, one trial at a time."""

    def __init__(self, folder: Path, spec: SearchSpec) -> None:
        self.spec = spec
        data = DatasetInput(name="d", digest="0", source="s", num_train=1)
        self.recorder = Recorder(Journal(folder / "journal.jsonl"), SilentTracker(), data, {})  # type: ignore[arg-type]
        self.study = reconcile_optuna(spec, folder / "optuna.db", self.records)
        self.searcher = StudySearcher(spec, self.study, self.recorder, self.resolve, lambda: self.at_once)
        self.at_once = 100
        self.tune_ids = 0

    @property
    def records(self) -> list[TrialRecord]:
        return self.recorder.journal.state.of_kind("search")

    def resolve(self, params: dict[str, Any]) -> TrialConfig:
        return TrialConfig.from_dict({**self.spec.trial, **params})

    def suggest(self) -> tuple[str, dict[str, Any]] | None:
        self.tune_ids += 1
        suggested = self.searcher.suggest(f"tune-{self.tune_ids}")
        return None if suggested in (None, "FINISHED") else (f"tune-{self.tune_ids}", suggested)  # type: ignore[return-value]

    def die(self, moment: str) -> None:
        """Suggests once more and stops at the given moment."""
        calls = 0

        def dies(*_: Any, **__: Any) -> None:
            nonlocal calls
            calls += 1
            if calls > 1 or moment == "before the journal":
                raise KilledError

        with pytest.MonkeyPatch.context() as patch:
            if moment == "before the journal":
                patch.setattr(self.recorder, "trial_started", dies)
            elif moment == "between parameters":
                real = self.study._storage.set_trial_param
                patch.setattr(self.study._storage, "set_trial_param", lambda *a: (dies(), real(*a)))
            with suppress(KilledError):
                self.suggest()

    def run(self, tune_id: str, config: dict[str, Any], stop_at: int = EPOCHS, **metrics: float) -> None:
        for epoch in range(1, stop_at + 1):
            result = report(config, epoch, **metrics)
            if epoch < stop_at:
                self.searcher.on_trial_result(tune_id, result)
        self.searcher.on_trial_complete(tune_id, result)

    def run_all(self, limit: int = 100) -> None:
        while limit and (found := self.suggest()):
            self.run(*found, stop_at=2 if int(found[1]["trial"][1:]) % 3 == 0 else EPOCHS)
            limit -= 1
        self.recorder.settle()


def report(config: dict[str, Any], epoch: int, **metrics: float) -> dict[str, Any]:
    beta = config["config"]["bottleneck.beta"]
    row = {"epoch": float(epoch), "val_error_pct": 50 * beta + 10 / epoch, "val_nll": 1.0, **metrics}
    # As Tune hands results to searchers.
    return {**row, **{f"epoch_metrics/{name}": value for name, value in row.items()}}


def params_of(search: Search) -> dict[str, dict[str, Any]]:
    return {name: record.params for name, record in search.recorder.journal.state.trials.items()}


def test_first_point_comes_first_and_the_rest_of_it_is_sampled(tmp_path: Path) -> None:
    search = Search(tmp_path, spec())
    found = search.suggest()
    assert found is not None
    config = found[1]["config"]
    assert (config["bottleneck.beta"], config["bottleneck.latent_dim"]) == (0.01, 32)
    assert 2 <= config["attention.num_anchors"] <= 50


def test_states_and_constraints_reach_optuna(tmp_path: Path) -> None:
    band = [{"metric": "val_attention_std", "at_least": 0.02}, {"metric": "val_attention_std", "at_most": 0.3}]
    search = Search(tmp_path, spec(constraints=band))
    search.run(*search.suggest(), val_attention_std=0.1)  # type: ignore[misc]
    search.run(*search.suggest(), stop_at=2, val_attention_std=0.001)  # type: ignore[misc]
    tune_id, config = search.suggest()  # type: ignore[misc]
    failed = {"done": True, "trial_state": "failed", "failure": "the training loss is not finite"}
    search.searcher.on_trial_complete(tune_id, {**report(config, 1), **failed})
    search.searcher.on_trial_complete(search.suggest()[0], None, error=True)  # type: ignore[index]
    states = [t.state.name for t in search.study.trials]
    assert states == ["COMPLETE", "PRUNED", "FAIL", "FAIL"]
    assert [t.constraints for t in search.study.trials[:2]] == [
        {"val_attention_std at least 0.02": pytest.approx(-0.08), "val_attention_std at most 0.3": pytest.approx(-0.2)},
        {
            "val_attention_std at least 0.02": pytest.approx(0.019),
            "val_attention_std at most 0.3": pytest.approx(-0.299),
        },
    ]
    assert [r.state for r in search.recorder.journal.state.trials.values()] == [
        "completed",
        "stopped",
        "failed",
        "failed",
    ]
    assert search.recorder.journal.state.trials["t00002"].reason == "the training loss is not finite"


@pytest.mark.slow
def test_the_planned_number_is_reached_and_no_more(tmp_path: Path) -> None:
    search = Search(tmp_path, spec())
    search.run_all()
    assert len(search.study.trials) == 12


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2", "cmaes", "random"])
def test_a_killed_search_suggests_what_it_would_have(tmp_path: Path, sampler: str) -> None:
    space = {k: v for k, v in spec().to_dict()["space"].items() if sampler != "cmaes" or k != "bottleneck.latent_dim"}
    one = spec(sampler={"name": sampler, "seed": 3}, space=space, first=[], trials=14)
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole = Search(tmp_path / "whole", one)
    whole.run_all()
    for finished, moment in (
        (1, "between parameters"),
        (2, "before the journal"),
        (3, "in the first epoch"),
        (2, "between parameters"),
        (100, ""),
    ):
        killed = Search(tmp_path / "killed", one)
        killed.run_all(finished)
        # The next driver takes the trial up under the same name.
        killed.die(moment)
    assert params_of(killed) == params_of(whole)
    assert all(t.state.is_finished() for t in killed.study.trials)


def test_a_kill_between_journal_and_optuna_is_made_good(tmp_path: Path) -> None:
    search = Search(tmp_path, spec())
    search.run_all(2)
    search.suggest()
    # The journal has the end, Optuna does not.
    search.recorder.epoch("t00002", {"epoch": 4.0, "val_error_pct": 1.0, "val_nll": 1.0})
    search.recorder.trial_ended("t00002", "completed")
    search.recorder.settle()
    again = Search(tmp_path, spec())
    assert again.study.trials[2].state == optuna.trial.TrialState.COMPLETE
    assert again.study.trials[2].intermediate_values == {4: 1.0}
    again.run_all()
    assert sorted(again.recorder.journal.state.trials) == [f"t{i:05d}" for i in range(12)]


def test_grid_is_every_point_once(tmp_path: Path) -> None:
    grid = {"bottleneck.beta": {"power_of_ten": [0, 1, 2, 3, 4]}, "bottleneck.latent_dim": {"choice": [16, 32]}}
    search = Search(tmp_path, spec(space=grid, sampler={"name": "grid"}, first=[], trials=10))
    search.run_all(4)
    search.suggest()
    again = Search(tmp_path, search.spec)
    again.run_all()
    points = [(p["bottleneck.beta"], p["bottleneck.latent_dim"]) for p in params_of(again).values()]
    assert len(points) == len(set(points)) == 10


def test_several_objectives_are_told_together(tmp_path: Path) -> None:
    objectives = [
        {"metric": "val_error_pct", "goal": "minimize"},
        {"metric": "interp_centered_pct", "goal": "maximize"},
    ]
    search = Search(tmp_path, spec(objectives=objectives))
    search.run(*search.suggest(), interp_centered_pct=40.0)  # type: ignore[misc]
    search.run(*search.suggest(), stop_at=1, interp_centered_pct=90.0)  # type: ignore[misc]
    assert search.study.trials[0].values[1] == 40.0
    assert [t.number for t in search.study.best_trials] == [0]


def test_an_interrupted_search_leaves_its_trials_to_the_next(tmp_path: Path) -> None:
    search = Search(tmp_path, spec())
    tune_id, config = search.suggest()  # type: ignore[misc]
    search.searcher.on_trial_result(tune_id, report(config, 1))
    search.searcher.interrupted = True
    search.searcher.on_trial_complete(tune_id, report(config, 1))
    assert search.study.trials[0].state == optuna.trial.TrialState.RUNNING
    assert search.recorder.journal.state.trials["t00000"].state == "running"
    assert search.suggest() is None


def test_no_more_trials_run_than_there_are_slots_at_the_moment(tmp_path: Path) -> None:
    search = Search(tmp_path, spec())
    search.at_once = 1
    first = search.suggest()
    assert first is not None
    assert search.suggest() is None, "Tune asks again later"
    search.at_once = 2
    assert search.suggest() is not None
    search.at_once = 1
    search.run(*first)
    assert search.suggest() is None, "one still runs, and a slot has gone"


@pytest.mark.parametrize("fault", ["StorageError", "SlotError"])
def test_storage_or_slots_that_serve_no_trial_interrupt_the_search_and_fail_no_trial(
    tmp_path: Path, fault: str
) -> None:
    search = Search(tmp_path, spec())
    search.run(*(search.suggest() or pytest.fail("no suggestion")))
    (full, config), (other, _) = search.suggest() or ("", {}), search.suggest() or ("", {})
    search.searcher.on_trial_result(full, report(config, 1))
    ended = {"trial_state": "failed", "failure": "no space left", "failure_kind": fault, "done": True}
    search.searcher.on_trial_complete(full, ended)
    assert (str(search.searcher.halted_by), search.searcher.interrupted) == ("no space left", True)
    assert type(search.searcher.halted_by).__name__ == fault
    assert search.suggest() is None
    search.searcher.on_trial_complete(other, {})
    states = [record.state for record in search.recorder.journal.state.trials.values()]
    assert states == ["completed", "running", "running"]
    resumed = Search(tmp_path, spec())
    assert [(resumed.suggest() or ("", {"trial": ""}))[1]["trial"] for _ in range(3)] == ["t00001", "t00002", "t00003"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The parameters of every trial of an uninterrupted search."""
    search = Search(tmp_path_factory.mktemp("undisturbed"), spec())
    search.run_all()
    return [record.params for record in search.recorder.journal.state.trials.values()]


@pytest.mark.parametrize("when", ["suggest", "result", "complete"])
def test_a_disk_that_is_full_under_journal_and_database_loses_nothing_and_is_gone_on_from(
    tmp_path: Path, undisturbed: list[dict[str, Any]], when: str
) -> None:
    with small_disk("limit", tmp_path / "disk") as disk:
        search = Search(disk.path, spec())
        search.run_all(limit=5)
        if when == "suggest":
            with disk.full():
                assert search.suggest() is None
        else:
            tune_id, config = search.suggest() or ("", {})
            with disk.full():
                if when == "result":
                    search.searcher.on_trial_result(tune_id, report(config, 1))
                else:
                    search.searcher.on_trial_complete(tune_id, report(config, EPOCHS))
        assert isinstance(search.searcher.halted_by, StorageError)
        assert search.suggest() is None
        resumed = Search(disk.path, spec())
        resumed.run_all()
        records = resumed.recorder.journal.state.trials.values()
        assert [record.params for record in records] == undisturbed
        assert {record.state for record in records} <= {"completed", "stopped"}
        assert all(trial.state.is_finished() for trial in resumed.study.trials)
