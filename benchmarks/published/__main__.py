"""Reproduce published tables: run every row with every seed, and write the results.

    python -m benchmarks.published                          # all tables, shortened
    python -m benchmarks.published ring_grid --form full --jobs 8
    python -m benchmarks.published ring_grid --only grid_gan --seeds 0,1
    python -m benchmarks.published --list                   # the commands, without running them
    python -m benchmarks.published --page                   # only rewrite the page

From the folder of the project. Runs are in --root and are resumed where they stopped; finished
ones are not run again. Ctrl-C saves them and leaves no process. Results:
benchmarks/results/published/ and docs/published.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.published import results
from benchmarks.published.jobs import TableJob, jobs
from benchmarks.published.page import page
from benchmarks.published.running import Machine, Outcome, run_all
from benchmarks.published.tables import ORDER, FormName, Table, load
from gan_cli import files
from gan_cli.device import choose_device, cores, describe
from gan_cli.errors import ConfigError
from gan_cli.exits import DONE, FAILED, INTERRUPTED, guarded
from gan_cli.formatting import parse_duration

PROJECT = Path(__file__).parents[2]
FORMS: tuple[FormName, ...] = ("full", "cpu")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.published",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("tables", nargs="*", metavar="TABLE", help=f"of {', '.join(ORDER)} (default: all)")
    add("--form", choices=FORMS, default="cpu", help="default: cpu")
    add("--only", action="append", metavar="ROW", help="this row alone; may be given again")
    add("--seeds", type=_seeds, metavar="N,N", help="these of the form's seeds alone")
    add("--jobs", type=int, default=1, metavar="N", help="runs at a time; they share the cores")
    add("--within", type=parse_duration, metavar="TIME", help="stop after 30m, 8h ...; resumable")
    add("--root", type=Path, default=Path("runs/published"), help="default: runs/published")
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
    add("--page", action="store_true", help="write docs/published.md from the results and end")
    return made


def _seeds(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def chosen(
    table: Table, form: FormName, only: Sequence[str] | None, seeds: Sequence[int] | None
) -> list[TableJob]:
    """The requested runs."""
    return [
        job
        for job in jobs(table, form)
        if (only is None or job.row in only) and (seeds is None or job.seed in seeds)
    ]


def processor() -> str:
    """The name of the CPU."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # elsewhere than on Linux
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def machine(options: argparse.Namespace) -> Machine:
    """The machine of this process; concurrent runs share its cores.

    Raises:
        ConfigError: --data is not of the form NAME=DIR.
    """
    count = cores()
    threads = str(max(1, count // options.jobs))
    shared = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    device = choose_device("auto")
    name = f"{count} cores of {processor()}" if device.type == "cpu" else describe(device)
    train: dict[str, list[str]] = {}
    for text in options.data:
        data, equals, folder = text.partition("=")
        if not equals or not folder:
            raise ConfigError(f"--data {text}: must be NAME=DIR, such as fashion_mnist=DIR")
        train[data] = [f"data.root={Path(folder).expanduser().absolute()}"]
    return Machine(
        options.root.absolute(),
        f"{name}, threads a run: {threads}, runs at a time: {options.jobs}, "
        f"torch {torch.__version__}",
        train,
        ["--inception", options.inception] if options.inception else [],
        {**shared, **os.environ, "PYTHONUNBUFFERED": "1"},
    )


def write_page(out: Path) -> None:
    """docs/published.md, of all tables."""
    tables = [load(name) for name in ORDER]
    folder = out / "benchmarks" / "results" / "published"
    contents: dict[tuple[str, FormName], results.Json] = {
        (table.name, form): results.read(folder, table, form)
        for table in tables
        for form in table.forms
    }
    (out / "docs").mkdir(parents=True, exist_ok=True)
    files.write(out / "docs" / "published.md", page(tables, contents))


def run(options: argparse.Namespace) -> int:
    """Run the command; the exit status.

    Raises:
        UserError: nothing was run.
    """
    tables = {name: load(name) for name in options.tables or ORDER}
    todo = [
        job
        for table in tables.values()
        if options.form in table.forms
        for job in chosen(table, options.form, options.only, options.seeds)
    ]
    if options.page:
        write_page(options.out)
        return DONE
    if not todo:
        raise ConfigError("nothing to run: no table has such a row, seed and form; see --list")
    if options.list:
        for job in todo:
            print(f"{job.table} {job.key}: {shlex.join(['gan-train', *job.train])}")
        return DONE
    return _run_jobs(tables, todo, options)


def _run_jobs(tables: dict[str, Table], todo: list[TableJob], options: argparse.Namespace) -> int:
    folder = options.out / "benchmarks" / "results" / "published"
    status, done, begun = DONE, 0, time.monotonic()
    try:
        for outcome in run_all(todo, machine(options), options.jobs, options.within):
            done += 1
            _tell(outcome, done, len(todo), time.monotonic() - begun)
            results.add(folder, tables[outcome.job.table], options.form, [outcome])
            status = FAILED if outcome.record is None else status
    except TimeoutError:
        print(f"the time is over after {done} of {len(todo)} runs; the same command resumes")
        status = INTERRUPTED
    finally:
        write_page(options.out)
    return status


def _tell(outcome: Outcome, done: int, of: int, seconds: float) -> None:
    values = {} if outcome.record is None else outcome.record["values"]
    shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    said = shown if outcome.record is not None else f"FAILED: {outcome.reason}"
    run_name = f"{outcome.job.table} {outcome.job.key}"
    print(f"[{done}/{of}, {seconds / 60:.1f} min] {run_name}: {said}", flush=True)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; exits with 0, 1 (a run failed), 2 (wrong input) or 130 (interrupted)."""
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(guarded(lambda: run(options)))


if __name__ == "__main__":
    main()
