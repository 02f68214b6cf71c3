"""Kills at seeded moments of trainings, data caches, sweeps and studies, each then resumed.

    python -m benchmarks.faults [--kills 330] [--seed 0] [--only PART] [--out FILE.json]

Every case is a command on a tiny model that is killed (-9) at one of its moments (see `kills`), or
whose job is; the same command then has to leave what it leaves where it is not killed: weights,
averages, optimizers, curves in metrics.jsonl and in TensorBoard, pictures, evaluations, caches. No
checkpoint that the killed process left may be broken, and a run has to continue from the last one.
FILE grows case by case, and the same command continues it. Exits with 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna  # noqa: F401 - loaded before the forks, as all that follows
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from PIL import Image

from benchmarks.faults import kills
from benchmarks.faults.kills import CRASHED, Moment
from gan_cli import files
from gan_cli.commands import train, tune
from gan_cli.ensemble import group  # noqa: F401
from gan_cli.evaluation import classifier, classifier_training, features, inception_weights
from gan_cli.evaluation.classifier_training import Recipe
from gan_cli.jobs import processes
from gan_cli.jobs.child import follow_parent
from gan_cli.jobs.processes import Process, Starter, open_log
from gan_cli.runs import checkpoint
from gan_cli.runs.folder import below
from gan_cli.signals import STOPS
from gan_cli.sweeps import launch
from gan_cli.tuning import page, results, search  # noqa: F401

PARTS = {  # shares of all kills
    "training": 0.17,
    "checkpoint": 0.2,
    "evaluation": 0.13,
    "logging": 0.2,
    "cache": 0.1,
    "sweep": 0.1,
    "study": 0.1,
    "features": 0.1,
}
KEPT = ("cache/features", "cache/classifiers")  # what a part "features" writes
COMMON = ["network=mlp", "network.width=8", "network.depth=1", "prior.dim=2", "batch_size=8"]
COMMON += ["runtime.threads=1", "runtime.device=cpu", "runtime.precision=fp32"]
RING = [*COMMON, "data=ring", "data.points=64", "evaluation.samples=64"]
RING += ["evaluation.metrics=[points]", "run.dir=run"]
OFTEN = ["log_every=4", "sample_every=3", "checkpoint.every=3", "evaluation.every=3"]
APART = ["log_every=2", "sample_every=4", "checkpoint.every=3", "evaluation.every=4"]


class ForkedJob:
    """A job that is a fork of the command that started it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: int | None = None

    def poll(self) -> int | None:
        """See `Process`."""
        if self._status is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = os.waitstatus_to_exitcode(status) if ended else None
        return self._status

    def send(self, number: signal.Signals) -> None:
        """See `Process`."""
        if self.poll() is None:
            os.kill(self.pid, number)


class WarmStarter(Starter):
    """Starts trainings as forks of this process, which has loaded torch.

    Like any job of a sweep they end when this process has ended.
    """

    def start(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Process:
        found = kills.operations
        assert found is not None
        name, parent = found.next_job(), os.getpid()
        child = os.fork()
        if child:
            return ForkedJob(child)
        status = CRASHED
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in STOPS:
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            follow_parent()
            if os.getppid() == parent:
                output = open_log(log)
                os.dup2(output, 1)
                os.dup2(output, 2)
                os.environ.clear()
                os.environ.update(environment)
                GlobalHydra.instance().clear()  # of the sweep
                found.begin(name)
                status = command(train.main, *arguments)
        finally:
            os._exit(status)


def command(main: Callable[[], object], *arguments: str) -> int:
    """The exit status of a command of ours."""
    sys.argv = ["gan-train", *(word for word in arguments if word != processes.TRAIN)]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


@dataclass(frozen=True)
class Scenario:
    """A command whose process is killed."""

    name: str
    main: Callable[[], object]
    arguments: Sequence[str]

    def __call__(self) -> int:
        """Do it; the exit status."""
        return command(self.main, *self.arguments)

    def part(self, moment: str) -> str:
        """The part of `PARTS` that a moment belongs to."""
        if self.name in ("sweep", "study"):
            return self.name
        kind, _, path = moment.partition(" ")
        if self.name in ("classifier", "inception"):
            return "features" if any(kept in path for kept in KEPT) else ""
        if path.startswith("cache"):
            return "cache"
        if kind == "update":
            return "training"
        if kind == "evaluate" or "/evaluations" in path:
            return "evaluation"
        return "checkpoint" if "/checkpoints" in path else "logging"


def scenarios(home: Path) -> list[Scenario]:
    """The commands; those of Inception only where a package holds its weights."""
    images, classes = home / "images", home / "classes"
    images.mkdir()
    for n in range(12):
        size = (12 + n, 24 - n)
        Image.effect_noise(size, 40 + 10 * n).convert("RGB").save(images / f"{n}.png")
    for n in range(100):  # the fewest that a classifier learns from
        (classes / f"{n % 2}").mkdir(parents=True, exist_ok=True)
        Image.effect_noise((8, 8), 20 + n).convert("RGB").save(classes / f"{n % 2}" / f"{n}.png")
    files_of = [*COMMON, "data=folder", "data.size=8", "data.workers=1", "model=gan", "run.dir=run"]
    folder = [*files_of, f"data.root={images}", "steps=2", "log_every=1", "evaluation.every=null"]
    shown = [*files_of, "steps=1", "sample_every=null", "evaluation.every=1"]
    known = [*shown, f"data.root={classes}", "evaluation.metrics=[classifier]"]
    known += ["evaluation.samples=64"]
    seen = [*shown, f"data.root={images}", "evaluation.metrics=[fid]", "evaluation.samples=12"]
    line = [*COMMON, "model=gan", "data=gaussian_1d", "data.points=64", "steps=4", "log_every=2"]
    line += ["evaluation.every=2", "evaluation.samples=64", "checkpoint.every=2"]
    swept = ["-m", *line, "optimizer.lr=1e-3,2e-3", "sweep.dir=sweep"]
    tuned = [*line, "optimizer.lr=tag(log,interval(1e-4,1e-2))", "tune.dir=study"]
    tuned += ["tune.trials=2", "tune.pruner=none", "tune.metric=metrics/wasserstein_1"]
    gan = [*RING, *OFTEN, "model=gan", "steps=6", "checkpoint.keep=1"]
    wgan = [*RING, *APART, "model=wgan_gp", "model.d_steps=2", "steps=6", "checkpoint.keep=2"]
    cgan = [*RING, *OFTEN, "model=cgan", "steps=8", "evaluation.best=energy_distance"]
    found = [
        Scenario("gan", train.main, gan),
        Scenario("wgan_gp", train.main, wgan),
        Scenario("cgan", train.main, cgan),
        Scenario("folder", train.main, folder),
        Scenario("sweep", train.main, [*swept, "hydra.launcher.n_jobs=1"]),
        Scenario("study", tune.main, tuned),
        Scenario("classifier", train.main, known),
    ]
    if inception_weights.packaged_file() is None:
        print("inception: its weights are not installed, so its cache is left out")
        return found
    return [*found, Scenario("inception", train.main, seen)]


def snapshot(case: Path) -> dict[str, Any]:
    """All that a case leaves: of each run, the caches, and the preset of a study."""
    found: dict[str, Any] = {}
    for run in [case / "run"] if (case / "run").is_dir() else below(case):
        name = str(run.relative_to(case))
        found |= {f"{name}: {key}": value for key, value in kills.snapshot(run).items()}
        found[f"{name}: trial"] = json.loads((run / "status.json").read_text()).get("trial")
    for path in sorted((case / "cache").rglob("*")):
        if path.is_file() and path.suffix not in (".lock", ".tmp"):
            found[str(path.relative_to(case))] = path.read_bytes()
    for path in case.glob("study/experiment/*.yaml"):
        found[str(path.relative_to(case))] = path.read_text()
    return found


def broken(case: Path) -> list[str]:
    """The checkpoints and kept features of a killed process that cannot be loaded."""
    found = []
    for path in case.rglob("[!.]*.pt"):
        load = features.read if "cache" in path.relative_to(case).parts else checkpoint.load
        try:
            load(path)
        except Exception as error:  # a file that is broken fails in any way
            found.append(f"left broken: {path.name}: {type(error).__name__}: {error}")
    return found


def saved(case: Path) -> int:
    """The step of the last state of a killed run."""
    last = case / "run" / "checkpoints" / "last.pt"
    return checkpoint.load(last)["step"] if last.exists() else 0


@dataclass(frozen=True)
class Straight:
    """A scenario's command that was left alone: its moments, and what it left."""

    moments: dict[Moment, str]
    expected: dict[str, Any]


def outcome(scenario: Scenario, straight: Straight, case: Path, deadly: Moment) -> list[str]:
    """What is wrong with a command that was killed at a moment, and given again."""
    kills.killed(scenario, case, deadly)
    wrong, before = broken(case), saved(case)
    status, moments = kills.forked(scenario, case)
    if status and deadly.process != "main":  # its sweep has counted the job as failed
        status, moments = kills.forked(scenario, case)
    if status:
        return [*wrong, f"exit status {status}"]
    first = next((name for name in moments.values() if name.startswith("update")), None)
    if (case / "run").is_dir() and first and int(first.split()[1]) != before:
        wrong.append(f"continued with {first}, and step {before} was saved")
    said = Path(f"{case}.said").read_text()
    wrong += [word for word in ("Traceback", "damaged") if word in said]
    return [*wrong, *kills.differences(straight.expected, snapshot(case))]


def choose(
    found: Sequence[tuple[Scenario, Straight]], count: int, seed: int, only: str | None = None
) -> list[tuple[str, str, Scenario, Straight, Moment]]:
    """Seeded moments of every part, or of one, without repeats where there are enough."""
    draws, chosen = random.Random(seed), []
    parts = PARTS if only is None else {only: 1.0}
    for part, share in parts.items():
        there = [
            (part, name, scenario, straight, moment)
            for scenario, straight in found
            for moment, name in straight.moments.items()
            if scenario.part(name) == part
            # A trial whose process was killed has failed, as its settings may be to blame.
            and (part != "study" or moment.process == "main")
        ]
        wanted = max(1, round(share * count / sum(parts.values())))
        chosen += draws.sample(there, min(wanted, len(there)))
        chosen += draws.choices(there, k=max(0, wanted - len(there)))
    return chosen


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Counts by part, in Markdown."""
    lines = ["| killed in | kills | different moments | wrong |", "|---|---|---|---|"]
    total, wrong = Counter(row["part"] for row in rows), Counter()
    moments: dict[str, set[tuple[str, ...]]] = {}
    for row in rows:
        wrong[row["part"]] += bool(row["wrong"])
        key = (row["command"], row["process"], str(row["number"]))
        moments.setdefault(row["part"], set()).add(key)
    lines += [f"| {p} | {n} | {len(moments[p])} | {wrong[p]} |" for p, n in total.items()]
    every = len(set().union(*moments.values()))
    return "\n".join([*lines, f"| all | {total.total()} | {every} | {wrong.total()} |"])


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=330)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    about = {"kills": options.kills, "seed": options.seed, "only": options.only}
    rows: list[dict[str, Any]] = []
    if options.out is not None and options.out.exists():
        before = json.loads(options.out.read_text())
        rows = before["cases"] if before["about"] == about else []
    kills.prepare_process()
    setattr(classifier, "Recipe", lambda: Recipe(images=32, batch=8))  # noqa: B010 - four steps
    classifier_training.KEEP_EVERY = 0.0
    Plugins.instance()
    launch.local_starter = lambda *_: WarmStarter()
    processes.SpawnStarter = WarmStarter
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        found = []
        for scenario in scenarios(home):
            if scenario.name not in ("sweep", "study"):
                kills.warm(scenario, home / f"{scenario.name}-warm")
            case = home / f"{scenario.name}-straight"
            moments = kills.straight_run(scenario, case)
            found.append((scenario, Straight(moments, snapshot(case))))
            print(f"{scenario.name}: {len(moments)} moments", flush=True)
        for part, name, scenario, straight, moment in choose(found, *about.values())[len(rows) :]:
            case = home / f"{len(rows):03d}"
            begun = time.monotonic()
            wrong = outcome(scenario, straight, case, moment)
            row = {"part": part, "command": scenario.name, **moment._asdict(), "moment": name}
            rows.append({**row, "wrong": wrong})
            seconds = time.monotonic() - begun
            print(f"{len(rows)} {' '.join(map(str, row.values()))}: {seconds:.1f} s", flush=True)
            for text in wrong:
                print(f"  wrong: {text}", flush=True)
            shutil.rmtree(case)
            if options.out is not None:
                files.write(options.out, json.dumps({"about": about, "cases": rows}, indent=1))
    print(table(rows))
    return int(any(row["wrong"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
