"""Chaos: SIGKILL of a whole search at random moments; the resumed search is compared with an undisturbed one.

`aib search` starts every study. The script kills the process group once in every stage, from the start to the report,
and twice while the study searches. It resumes the study each time and finally lets it run to its end. Checks:

- always: journal, Optuna and MLflow hold every trial once, and no trial is left running;
- several trials at a time: no suggestion and no ended trial is lost or changed;
- one trial at a time: trials, suggestions, their order, the metrics of every epoch and all weights equal those of the
  undisturbed search bit for bit.

If a check fails, the script prints one sentence for each difference and leaves the studies on disk.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from benchmarks.support.compare_studies import contradictions, differences, losses
from benchmarks.support.measure import Figure, median, run
from orchestrator.errors import EXIT_PREFLIGHT
from orchestrator.study.journal import read_state
from orchestrator.study.paths import study_paths

STAGES = ("starting", "searching", "searching", "finalists", "publishing", "done")
"""The stages in which a study is killed, in this order. `starting` lasts from the command to the journal's next stage;
in `done` the report is written."""
ORDER = tuple(dict.fromkeys(STAGES))
POLL_S = 0.02
GONE_S = 600.0
STARTS = 20
"""Attempts to start Ray. Ray gives up if the machine is too busy."""
SPEC: dict[str, Any] = {
    "name": "chaos",
    "trial": {
        "model": "vgg-aib-qt",
        "model.width": 0.0625,
        "dataset": "cluttered-digits",
        "epochs": 3,
        "data": {"image_size": 16, "train_images": 96, "val_images": 40, "test_images": 40, "crop_padding": 1},
        "optim": {"batch_size": 32, "lr": 0.02},
        "evaluation": {
            "interp_images": 10,
            "occluder_dataset": "cluttered-digits",
            "attention_samples": 2,
            "latent_samples": 2,
        },
    },
    "space": {
        "bottleneck.beta": {"power_of_ten": [1, 2, 3, 4]},
        "bottleneck.latent_dim": {"choice": [8, 16]},
        "attention.lambda_q": {"float": [0.05, 1.0], "log": True},
    },
    "first": [{"bottleneck.beta": 0.001, "bottleneck.latent_dim": 16}],
    "scheduler": {"name": "asha", "grace_epochs": 1, "reduction_factor": 2},
    "trials": 5,
    "finalists": {"top": 1, "seeds": 2},
    "gate": {"max_chance": 1},
    "registered_model": "chaos",
}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the first study's kill moments; each further study adds one"
    )
    parser.add_argument(
        "--studies", type=int, default=2, help="studies with one trial at a time; the same number runs with two"
    )
    parser.add_argument("--root", type=Path, default=Path("runs/benchmarks/chaos"), help="folder of the studies")


class Launch(NamedTuple):
    """What the script saw of one launched process."""

    code: int
    """Its exit code; -9 if it was killed."""
    stage: str
    """The stage in which it ended."""
    stages_s: dict[str, float]
    """Seconds in each stage."""
    grew_s: float | None
    """Seconds until its first line in the journal; None if it was killed before."""
    gone_s: float
    """Seconds from its end until its last descendant process ended."""


class Search:
    """One study, run by `aib search --resume` as often as needed."""

    def __init__(self, root: Path, study: str, at_once: int) -> None:
        self.root, self.study, self.at_once = root, study, at_once
        self.journal, self.log = study_paths(root, study).journal, root / f"{study}.log"
        (root / "spec.json").write_text(json.dumps(SPEC), encoding="utf-8")

    def started(self, kill: Callable[[str, float], bool] = lambda stage, seconds: False) -> Launch:
        """Launches until Ray starts; returns that launch."""
        for _ in range(STARTS):
            launch = self.launch(kill)
            if launch.code != EXIT_PREFLIGHT:
                break
            print(f"{self.study} was refused; see {self.log}", file=sys.stderr)
        return launch

    def launch(self, kill: Callable[[str, float], bool] = lambda stage, seconds: False) -> Launch:
        """Runs the command until it ends, or until `kill(stage, seconds in it)` is true."""
        before = len(self.lines())
        stage, stages_s, grew_s = "starting", dict[str, float](), None
        with self._process() as process:
            began_s = entered_s = time.monotonic()
            descendants = list[psutil.Process]()
            while process.poll() is None:
                lines, now_s = self.lines()[before:], time.monotonic()
                if lines and grew_s is None:
                    grew_s = now_s - began_s
                present = ([line["stage"] for line in lines if line["event"] == "stage"] or ["starting"])[-1]
                if present != stage:
                    stages_s[stage] = now_s - entered_s
                    stage, entered_s = present, now_s
                if kill(stage, now_s - entered_s):
                    descendants = _descendants(process)
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                    break
                time.sleep(POLL_S)
            ended_s = time.monotonic()
            stages_s[stage] = ended_s - entered_s
        _, left = psutil.wait_procs(descendants, timeout=GONE_S)
        if left:
            raise RuntimeError(f"{GONE_S} s after the SIGKILL of {self.study} there still is {left}")
        return Launch(process.returncode, stage, stages_s, grew_s, time.monotonic() - ended_s)

    def finish(self) -> Launch:
        """Runs the command to its end. Raises RuntimeError if it fails or the study contradicts itself."""
        launch = self.started()
        if launch.code != 0:
            raise RuntimeError(f"{self.study} ended with exit code {launch.code}; see {self.log}")
        _fail(self.root, contradictions(self.root, self.study))
        return launch

    def lines(self) -> list[dict[str, Any]]:
        """The journal's complete lines."""
        if not self.journal.exists():
            return []
        return [json.loads(line) for line in self.journal.read_bytes().split(b"\n")[:-1]]

    @contextmanager
    def _process(self) -> Iterator["subprocess.Popen[bytes]"]:
        """The command in its own process group; a group that still runs at the block's end is killed."""
        settings = [f"resources.max_concurrent={self.at_once}", f"registered_model={self.study}"]
        command = [sys.executable, "-m", "orchestrator", "search", str(self.root / "spec.json"), "--resume"]
        command += ["--root", str(self.root), "--name", self.study, *(w for one in settings for w in ("--set", one))]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "AIB_", "MLFLOW_"))}
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=clean)
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def measure(chosen: argparse.Namespace) -> Figure:
    chosen.root.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix="studies-", dir=chosen.root)).resolve()
    stages, studies = (("searching",), 1) if chosen.quick else (STAGES, chosen.studies)
    kills: list[dict[str, Any]] = []
    starts_s: list[float] = []
    for at_once in (1,) if chosen.quick else (1, 2):
        undisturbed = Search(root, f"undisturbed-{at_once}", at_once)
        whole = undisturbed.finish()
        starts_s.append(whole.grew_s or 0.0)
        print(f"{undisturbed.study}: {whole}", file=sys.stderr)
        for seed in range(chosen.seed, chosen.seed + studies):
            search = Search(root, f"killed-{at_once}-seed-{seed}", at_once)
            kills += disturb(search, stages, whole.stages_s, random.Random(seed))
            if at_once == 1:
                _fail(root, differences(root, undisturbed.study, search.study))
    shutil.rmtree(root)
    return _figure(chosen.seed, studies, kills, starts_s)


def disturb(
    search: Search, stages: tuple[str, ...], durations_s: dict[str, float], rng: random.Random
) -> list[dict[str, Any]]:
    """Kills a search in every stage, unless it ends before; then lets it run to its end. Returns one entry a kill."""
    kills: list[dict[str, Any]] = []

    def resumed(launch: Launch) -> None:
        if kills and launch.grew_s is not None:
            kills[-1]["resume_s"] = launch.grew_s

    for aim in stages:
        after_s = rng.uniform(0, durations_s[aim])

        def moment(stage: str, seconds: float, aim: str = aim, after_s: float = after_s) -> bool:
            return ORDER.index(stage) > ORDER.index(aim) or (stage == aim and seconds >= after_s)

        known = read_state(search.journal)
        launch = search.started(moment)
        resumed(launch)
        left = read_state(search.journal)
        _fail(search.root, losses(known, left))
        if launch.code == 0:
            # It ended before the moment of the kill.
            break
        if launch.code != -signal.SIGKILL:
            raise RuntimeError(f"{search.study} ended with exit code {launch.code}; see {search.log}")
        kills.append(
            {
                "study": search.study,
                "at_once": search.at_once,
                "aimed_at": aim,
                "after_s": after_s,
                "hit": launch.stage,
                "lines": len(search.lines()),
                "running": sum(record.state == "running" for record in left.trials.values()),
                "ended": sum(record.state != "running" for record in left.trials.values()),
                "gone_s": launch.gone_s,
            }
        )
        print(kills[-1], file=sys.stderr)
    known = read_state(search.journal)
    resumed(search.finish())
    _fail(search.root, losses(known, read_state(search.journal)))
    return kills


def _fail(root: Path, found: list[str]) -> None:
    if found:
        raise RuntimeError("\n".join([f"the studies under {root} are wrong:", *found]))


def _figure(seed: int, studies: int, kills: list[dict[str, Any]], starts_s: list[float]) -> Figure:
    resumes_s = [kill["resume_s"] for kill in kills if "resume_s" in kill]
    return Figure(
        name="chaos",
        ours=median(resumes_s),
        other=median(starts_s),
        ratio=median(resumes_s) / median(starts_s),
        unit="s until the study trains again",
        what={"ours": "a search resumed after SIGKILL", "other": "a first start", "ratio": "ours / other"},
        details={
            "kills": len(kills),
            "hit": dict(Counter(kill["hit"] for kill in kills)),
            "seeds": list(range(seed, seed + studies)),
            "compared": {
                "always": "every trial once in the journal, Optuna and MLflow, none running; every epoch once, in "
                "order, with equal values; suggestions and ended trials as they were before the kill",
                "one trial at a time": "also trials, suggestions, order, metrics of every epoch, champion, and all "
                "tensors of the last checkpoints equal those of the undisturbed search, bit for bit",
            },
            "longest_resume_s": max(resumes_s),
            "longest_until_all_processes_were_gone_s": max(kill["gone_s"] for kill in kills),
            "moments": kills,
        },
    )


def _descendants(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    try:
        return list(psutil.Process(process.pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


if __name__ == "__main__":
    sys.exit(run(__doc__, measure, options))
