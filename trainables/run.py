"""Runs one trial without Ray: `python -m trainables.run --out FOLDER KEY=VALUE …`; several ranks with torchrun.

Prints every epoch as one JSON object and writes its checkpoint to FOLDER (see `--save-every`). Started again on the
same folder, the trial continues after its newest checkpoint, and its result is the same as without the stop.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from trainables.checkpoints.checkpoint import checkpoint_folder, latest_checkpoint, prune_checkpoints, read_state
from trainables.config.trial import TrialConfig
from trainables.data.arrow_store import list_prepared, open_store
from trainables.data.embedded import prepare_embedded
from trainables.data.prepare import prepare
from trainables.data.trainable import check_trainable
from trainables.errors import AIBError, ConfigError, DivergedError
from trainables.runtime.printable import printable
from trainables.runtime.runtime import Runtime
from trainables.training.fit import EpochReport, fit

EXIT_DONE, EXIT_FAILED, EXIT_CONFIG = 0, 1, 2
KEEP_CHECKPOINTS = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains and returns the exit status: 0 done or stopped as asked, 1 failed, 2 a value that is not allowed."""
    options = _options(arguments)
    try:
        config = TrialConfig.from_dict(settings(options.settings))
        with _ranks() as (rank, world_size, device):
            runtime = Runtime(data_root=options.data_root, rank=rank, world_size=world_size, device=device)
            if rank == 0:
                _prepare(config, options.data_root, options.source)
            if world_size > 1:
                dist.barrier()
            _run(config, runtime, options)
    except ConfigError as error:
        print(printable(f"trainables.run: {error}"), file=sys.stderr)
        return EXIT_CONFIG
    except AIBError as error:
        if isinstance(error, DivergedError) and int(os.environ.get("RANK", "0")) == 0:
            print(json.dumps({"diverged": str(error)}), flush=True)
        print(printable(f"trainables.run: {error}"), file=sys.stderr)
        return EXIT_FAILED
    return EXIT_DONE


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m trainables.run", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="a field of the trial, by dotted key")
    parser.add_argument("--out", type=Path, required=True, help="folder of the trial's checkpoints")
    parser.add_argument("--data-root", type=Path, default=Path("runs/data"), help="folder of prepared data sets")
    parser.add_argument("--from", dest="source", type=Path, help="prepare the data set from here if it is not there")
    parser.add_argument("--minutes", type=_minutes, help="stop after the epoch in which these minutes have passed")
    parser.add_argument("--until-epoch", type=int, metavar="N", help="stop after epoch N of the trial")
    parser.add_argument(
        "--save-every",
        type=_at_least_1,
        default=1,
        metavar="N",
        help="epochs from checkpoint to checkpoint (default 1)",
    )
    return parser.parse_args(arguments)


def _minutes(text: str) -> float:
    minutes = float(text)
    if not minutes >= 0:
        raise argparse.ArgumentTypeError(f"is {text}; allowed: a number of minutes, 0 or more")
    return minutes


def _at_least_1(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} epochs; allowed: at least 1")
    return number


def settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Parses KEY=VALUE pairs; a value is JSON if it parses as JSON, text otherwise."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise ConfigError(f"setting {pair!r}; allowed: KEY=VALUE, such as optim.lr=0.05.")
        try:
            found[key] = json.loads(text)
        except (ValueError, RecursionError):
            found[key] = text
    return found


@contextmanager
def _ranks() -> Iterator[tuple[int, int, torch.device]]:
    """Rank, number of ranks and device: torchrun's, or without torchrun one rank on the first GPU, if there is one."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    here = int(os.environ.get("LOCAL_WORLD_SIZE", str(world_size)))
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    device = device_of(int(os.environ.get("LOCAL_RANK", "0")), here, num_gpus)
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    if world_size == 1:
        yield 0, 1, device
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    try:
        yield dist.get_rank(), world_size, device
    finally:
        dist.destroy_process_group()


def device_of(local_rank: int, num_ranks: int, num_gpus: int) -> torch.device:
    """One GPU for each rank of a machine, or the CPU on a machine without GPUs.

    Raises ConfigError, the same on every rank, where there are fewer GPUs than ranks.
    """
    if not num_gpus:
        return torch.device("cpu")
    if num_ranks > num_gpus:
        raise ConfigError(
            f"{num_ranks} ranks on a machine with {num_gpus} GPU{'s' if num_gpus > 1 else ''}; allowed: one rank for "
            f"each GPU: start torchrun with --nproc-per-node={num_gpus}, or hide the GPUs (CUDA_VISIBLE_DEVICES=) to "
            "train on the processor."
        )
    return torch.device("cuda", local_rank)


def _prepare(config: TrialConfig, data_root: Path, source: Path | None) -> None:
    name, size = config.data.name, config.data.stored_size
    if source is not None and all((meta.name, meta.image_size) != (name, size) for meta in list_prepared(data_root)):
        for note in prepare(name, data_root, size, source).notes:
            print(printable(f"note: {note}"), file=sys.stderr)
    prepare_embedded(config, data_root, lambda text: print(text, file=sys.stderr))
    open_store(data_root, name, size, verify=True)


def _run(config: TrialConfig, runtime: Runtime, options: argparse.Namespace) -> None:
    started, out = time.monotonic(), options.out
    until = config.epochs if options.until_epoch is None else options.until_epoch
    newest = _from_rank_0(latest_checkpoint(out) if runtime.rank == 0 else None, runtime)
    reached = 0 if newest is None else read_state(newest)["epoch"]
    if reached >= until and reached < config.epochs:
        _print(runtime, {"stopped_after_epoch": reached, "epochs": config.epochs})
        return
    if newest is None:
        check_trainable(open_store(options.data_root, config.data.name, config.data.stored_size), config)
    for report in fit(config, runtime, newest):
        late = options.minutes is not None and time.monotonic() - started > 60 * options.minutes
        # Ranks stop together, although their clocks differ.
        leave = _from_rank_0(late or report.epoch >= until, runtime) and report.epoch < config.epochs
        if runtime.rank == 0:
            _keep(report, out, leave or report.epoch == config.epochs or report.epoch % options.save_every == 0)
        if leave:
            _print(runtime, {"stopped_after_epoch": report.epoch, "epochs": config.epochs})
            return
    done = latest_checkpoint(out)
    if runtime.rank == 0 and done is not None:
        _print(runtime, {"done": str(done), "best_epoch": read_state(done)["best_epoch"]})


def _keep(report: EpochReport, out: Path, save: bool) -> None:
    # Saves before it prints, so that no printed epoch is lost; an epoch that is not saved is trained again.
    if save:
        report.save(checkpoint_folder(out, report.epoch))
        prune_checkpoints(out, KEEP_CHECKPOINTS)
    print(json.dumps(report.metrics), flush=True)


def _print(runtime: Runtime, facts: Mapping[str, Any]) -> None:
    if runtime.rank == 0:
        print(json.dumps(facts), flush=True)


def _from_rank_0(value: Any, runtime: Runtime) -> Any:
    if runtime.world_size == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, 0, device=torch.device("cpu"))
    return box[0]


if __name__ == "__main__":
    status = main()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # A thread of the process group may still run. On a busy machine the interpreter's normal exit then aborts a
        # process whose trial is done.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
