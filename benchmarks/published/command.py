"""What the commands that run tables share: options, the machine, and the loop over runs."""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.published.jobs import TableJob
from benchmarks.published.running import Machine, Outcome, run_all
from gan_cli.device import choose_device, cores, describe, processor
from gan_cli.errors import ConfigError
from gan_cli.exits import DONE, FAILED, INTERRUPTED
from gan_cli.formatting import parse_duration

PROJECT = Path(__file__).parents[2]


def add_options(made: argparse.ArgumentParser, root: Path) -> None:
    """Add the options of every command that runs tables; `root` is where runs are by default."""
    add = made.add_argument
    add("--only", action="append", metavar="ROW", help="this row alone; may be given again")
    add("--seeds", type=_seeds, metavar="N,N", help="these of the form's seeds alone")
    add("--jobs", type=int, default=1, metavar="N", help="runs at a time; they share the cores")
    add("--within", type=parse_duration, metavar="TIME", help="stop after 30m, 8h ...; resumable")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: auto")
    add("--root", type=Path, default=root, help=f"of the runs; default: {root}")
    add("--out", type=Path, default=PROJECT, help="where benchmarks/results and docs are written")
    add(
        "--data",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="data.root of a data set, such as fashion_mnist=DIR; may be given again",
    )
    add("--inception", metavar="PATH", help="weights for gan-eval")
    add("--list", action="store_true", help="show the commands and run nothing")
    add("--page", action="store_true", help="write the pages from the results and end")


def _seeds(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def machine(options: argparse.Namespace) -> Machine:
    """The machine of this process; concurrent runs share its cores.

    Raises:
        ConfigError: --data is not of the form NAME=DIR.
    """
    count = cores()
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, count // options.jobs)))
    shared = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    device = choose_device(options.device)
    name = f"{count} cores of {processor()}" if device.type == "cpu" else describe(device)
    train: dict[str, list[str]] = {}
    for text in options.data:
        data, equals, folder = text.partition("=")
        if not equals or not folder:
            raise ConfigError(f"--data {text}: must be NAME=DIR, such as fashion_mnist=DIR")
        train[data] = [f"data.root={Path(folder).expanduser().absolute()}"]
    named = [] if options.device == "auto" else [options.device]
    inception = ["--inception", options.inception] if options.inception else []
    return Machine(
        options.root.absolute(),
        f"{name}, threads a run: {threads}, runs at a time: {options.jobs}, "
        f"torch {torch.__version__}",
        train,
        [*inception, *(word for name in named for word in ("--device", name))],
        {**os.environ, **shared, "PYTHONUNBUFFERED": "1"},
        [f"runtime.device={name}" for name in named],
    )


def run_jobs(
    todo: Sequence[TableJob], options: argparse.Namespace, done: Callable[[Outcome], object]
) -> int:
    """Run jobs and report each; the exit status.

    Args:
        todo: the jobs.
        options: those of `add_options`.
        done: called with each outcome.

    Raises:
        ConfigError: an option is wrong.
    """
    status, count, begun = DONE, 0, time.monotonic()
    try:
        for outcome in run_all(todo, machine(options), options.jobs, options.within):
            count += 1
            report(outcome, count, len(todo), time.monotonic() - begun)
            done(outcome)
            status = FAILED if outcome.record is None else status
    except TimeoutError:
        print(f"the time is over after {count} of {len(todo)} runs; the same command resumes")
        status = INTERRUPTED
    return status


def report(outcome: Outcome, done: int, of: int, seconds: float) -> None:
    """Print an outcome as one line."""
    values = {} if outcome.record is None else outcome.record["values"]
    shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    said = shown if outcome.record is not None else f"FAILED: {outcome.reason}"
    run_name = f"{outcome.job.table} {outcome.job.key}"
    print(f"[{done}/{of}, {seconds / 60:.1f} min] {run_name}: {said}", flush=True)


def interrupt_at_sigterm() -> None:
    """Stop at SIGTERM as at Ctrl-C."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
