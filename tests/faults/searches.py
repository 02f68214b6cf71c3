"""Folders of sweeps and studies as a stranger may have left them, given to the commands again.

Their jobs and trials are no processes: `Copied` puts the folder of a finished run in their place.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from inprocess import call
from mutations import PLAIN, changed, damaged, deep

from gan_cli.commands import train, tune
from gan_cli.jobs import processes
from gan_cli.jobs.processes import Process, Starter, open_log
from gan_cli.sweeps import launch

COMMON = ["model=gan", "data=gaussian_1d", "data.points=64", "network=mlp", "network.width=8"]
COMMON += ["network.depth=1", "prior.dim=2", "batch_size=8", "runtime.threads=1"]
COMMON += ["runtime.device=cpu", "runtime.precision=fp32", "steps=2", "log_every=1"]
COMMON += ["evaluation.every=1", "evaluation.samples=64", "checkpoint.every=2"]
STUDY = [
    *COMMON,
    "optimizer.lr=tag(log,interval(1e-4,1e-2))",
    "network.generator_activation=relu,tanh",
]
STUDY += ["tune.trials=3", "tune.metric=metrics/wasserstein_1", "tune.dir=study"]
DATABASE = "tune.storage=sqlite:///study/study.db"
SWEEP = ["-m", *COMMON, "seed=1,2", "sweep.dir=sweep", "hydra.launcher.n_jobs=1"]
RECORDS = 11  # of Optuna's journal: kinds


class Ended:
    """A process that has ended."""

    def __init__(self, status: int) -> None:
        self.status = status

    def poll(self) -> int | None:
        """See `Process`."""
        return self.status

    def send(self, number: int) -> None:
        """See `Process`."""


class Forked(Starter):
    """Trains in a fork of this process, and waits for it."""

    def start(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Process:
        os.close(open_log(log))
        child = os.fork()
        if child:
            return Ended(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        status = 1
        try:
            GlobalHydra.instance().clear()  # of the sweep
            words = [word for word in arguments if word != processes.TRAIN]
            status = call(*words, cwd=Path.cwd()).returncode
        finally:
            os._exit(status)


class Copied(Starter):
    """Puts a copy of a finished run into a job's folder, or fails where there is something."""

    def __init__(self, run: Path) -> None:
        self.run = run

    def start(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Process:
        os.close(open_log(log))
        key, folder = "run.dir=", ""
        for word in arguments:
            folder = word.removeprefix(key) if word.startswith(key) else folder
        if not folder or Path(folder).exists():
            return Ended(1)
        shutil.copytree(self.run, folder)
        return Ended(0)


def use(starter: Starter) -> None:
    """Let sweeps and studies start their jobs with it."""
    launch.local_starter = lambda *_: starter
    processes.SpawnStarter = lambda *_: starter  # type: ignore[assignment]


@cache
def base_study(folder: Path, *more: str) -> Path:
    """A study of three trials; its folder."""
    return _made(folder, "study", [*STUDY, *more], tune.main)


@cache
def base_sweep(folder: Path) -> Path:
    """A sweep of two jobs; its folder."""
    return _made(folder, "sweep", SWEEP, train.main)


def _made(folder: Path, name: str, words: Sequence[str], main: Callable[[], object]) -> Path:
    """The folder `name` that a command makes in `folder`, once."""
    if not folder.exists():
        aside = folder.with_suffix(".new")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        use(Forked())
        done = call(*words, cwd=aside, main=main)
        assert done.returncode == 0, done.stderr
        aside.rename(folder)
    return folder / name


def journal(some: Random, content: bytes) -> bytes:
    """A journal of Optuna with other records, values, order or bytes."""
    lines = content.splitlines(keepends=True)
    for _ in range(some.choice((1, 1, 2, 4))):
        at = some.randrange(len(lines)) if lines else 0
        match some.randrange(12):
            case 0:
                del lines[at : at + some.choice((1, 3))]
            case 1:
                lines[at:at] = lines[at : at + 1] * some.choice((1, 2, 50))
            case 2:
                lines[at : at + 1] = [damaged(some, b"".join(lines[at : at + 1]))]
            case 3:
                some.shuffle(lines)
            case 4:
                lines[at:at] = [deep(some).encode() + b"\n"]
            case 5:
                lines[at:at] = [json.dumps(some.choice(PLAIN)).encode() + b"\n"]
            case _:
                lines[at : at + 1] = [_record(some, line) for line in lines[at : at + 1]]
    return b"".join(lines)


def _record(some: Random, line: bytes) -> bytes:
    """A record with other values, also within what it holds as text."""
    try:
        found: Any = json.loads(line)
    except ValueError:
        return line
    if isinstance(found, dict) and isinstance(found.get("distribution"), str):
        if some.random() < 0.5:
            inner = changed(some, json.loads(found["distribution"]))
            found["distribution"] = json.dumps(inner)
    elif isinstance(found, dict) and some.random() < 0.2:
        found["op_code"] = some.randrange(-1, RECORDS + 2)
    found = changed(some, found)
    return json.dumps(found).encode(errors="surrogatepass") + b"\n"


def database(some: Random, path: Path) -> None:
    """Change values of a SQLite database, or its bytes."""
    if some.random() < 0.3:
        path.write_bytes(damaged(some, path.read_bytes()))
        return
    with sqlite3.connect(path) as opened:
        known = [
            row[0] for row in opened.execute("select name from sqlite_master where type='table'")
        ]
        for _ in range(some.choice((1, 2, 3))):
            table = some.choice(known)
            columns = [row[1] for row in opened.execute(f"pragma table_info({table})")]
            value = some.choice([v for v in PLAIN if isinstance(v, float | str | None)])
            value = "x" if value == "\ud800" else value
            try:
                opened.execute(f"update {table} set {some.choice(columns)} = ?", [value])
            except sqlite3.Error:
                opened.execute(f"delete from {table}")
    opened.close()
