"""Trainings and evaluations as processes of their own, several at a time."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.published.figures import (
    NoValueError,
    curves,
    figures_of,
    finite,
    rank_correlation,
    require,
)
from benchmarks.published.jobs import TableJob
from gan_cli import files
from gan_cli.errors import UserError
from gan_cli.jobs.processes import TRAIN, StoppedError, Supervisor, last_line
from gan_cli.runs.folder import FINISHED, RunFolder

Json = dict[str, Any]


@dataclass(frozen=True)
class Machine:
    """Where and how runs are made; none of it changes what they are.

    Attributes:
        root: folder of the runs.
        train: further overrides, such as data.root=DIR, by the data option they go with.
        evaluate: further arguments of gan-eval.
        environment: of the processes.
        hardware: in words, with the version of torch.
        everywhere: further overrides of all trainings.
    """

    root: Path
    hardware: str
    train: Mapping[str, Sequence[str]] = field(default_factory=dict)
    evaluate: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    everywhere: Sequence[str] = ()


@dataclass(frozen=True)
class Outcome:
    """The result of a job: a record of its metrics, or why there is none."""

    job: TableJob
    record: Json | None
    reason: str = ""
    stopped: bool = False


class JobFiles:
    """The files of a job: the run's folder, and beside it a record and a log."""

    def __init__(self, job: TableJob, machine: Machine) -> None:
        self.job, self.machine = job, machine
        self.home = machine.root / f"{job.table}-{job.form}"
        self.folder = RunFolder(self.home / job.key)
        self.record, self.log = self.home / f"{job.key}.json", self.home / f"{job.key}.log"

    def known(self) -> Json:
        """The content of the record, if the same command made it."""
        try:
            content = json.loads(self.record.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            content = {}
        same = isinstance(content, dict) and content.get("train") == list(self.job.train)
        if not same and self.folder.path.exists():
            raise NoValueError(f"{self.folder.path} was made by another command; remove it")
        return content if same else {"train": list(self.job.train)}

    def train(self, supervisor: Supervisor) -> None:
        """Train, or resume.

        Raises:
            NoValueError: the training failed.
        """
        named = [o.removeprefix("data=") for o in self.job.train if o.startswith("data=")]
        more = [o for data in named for o in self.machine.train.get(data, ())]
        place = f"run.dir={self.folder.path}"
        self._call(supervisor, TRAIN, [*self.job.train, *more, *self.machine.everywhere, place])
        status = self.folder.read_status()["status"]
        if status != FINISHED:
            raise NoValueError(f"the training is {status}")

    def evaluate(self, supervisor: Supervisor) -> dict[str, tuple[float, float | None]]:
        """The value and real-vs-real baseline of every metric.

        Raises:
            NoValueError: an evaluation failed, or lacks a metric.
        """
        found: dict[str, tuple[float, float | None]] = {}
        reasons = ""
        for arguments in self.job.evaluations:
            point = arguments[arguments.index("--checkpoint") + 1]
            output = self.home / f"{self.job.key}.{point}.eval.json"
            output.unlink(missing_ok=True)
            rest = [*arguments, *self.machine.evaluate, "--json", str(output)]
            self._call(supervisor, "gan_cli.commands.evaluate", [str(self.folder.path), *rest])
            report = json.loads(output.read_text(encoding="utf-8"))
            found |= figures_of(report, point)
            output.unlink()
            missing = report["unfit"] | report["failed"]
            reasons = "; ".join(f"{name}: {why}" for name, why in missing.items())
        if self.job.correlation is not None:
            value = rank_correlation(curves(self.folder.metrics), self.job.correlation)
            found["rank_correlation"] = (value, None)
        require(found, self.job.figures, reasons)
        return found

    def _call(self, supervisor: Supervisor, module: str, arguments: Sequence[str]) -> None:
        if supervisor.run([module, *arguments], self.log, self.machine.environment):
            raise NoValueError(last_line(self.log))


def run_job(job: TableJob, machine: Machine, supervisor: Supervisor) -> Outcome:
    """Train and evaluate one run, unless done before."""
    run = JobFiles(job, machine)
    try:
        run.home.mkdir(parents=True, exist_ok=True)
        record = run.known()
        if record.get("evaluations") == [list(e) for e in job.evaluations]:
            return Outcome(job, record)
        files.write(run.record, json.dumps(record, indent=2) + "\n")
        _train(run, record, supervisor)
        begun = time.monotonic()
        found = run.evaluate(supervisor)
        record |= {
            "evaluations": [list(arguments) for arguments in job.evaluations],
            "values": finite({name: value for name, (value, _) in found.items()}),
            "floors": finite({name: floor for name, (_, floor) in found.items()}),
            "seconds": {
                "train": record.get("trained"),
                "evaluate": round(time.monotonic() - begun, 1),
            },
            "date": datetime.now(UTC).date().isoformat(),
            "hardware": machine.hardware,
        }
        files.write(run.record, json.dumps(record, indent=2) + "\n")
    except StoppedError:
        return Outcome(job, None, "stopped", stopped=True)
    except (NoValueError, UserError, OSError) as error:
        return Outcome(job, None, str(error))
    return Outcome(job, record)


def _train(run: JobFiles, record: Json, supervisor: Supervisor) -> None:
    """Train, and add the seconds to those of earlier attempts, as "trained".

    The time is unknown if an earlier attempt finished and recorded none.
    """
    if run.folder.read_status()["status"] == FINISHED:
        return
    begun = time.monotonic()
    try:
        run.train(supervisor)
    finally:
        record["trained"] = round(record.get("trained", 0.0) + time.monotonic() - begun, 1)
        files.write(run.record, json.dumps(record, indent=2) + "\n")


def run_all(
    jobs: Sequence[TableJob], machine: Machine, at_once: int, seconds: float | None = None
) -> Iterator[Outcome]:
    """Yield outcomes as they come; after `seconds`, or if the caller is interrupted, stop all.

    Raises:
        TimeoutError: the time is over; running trainings have saved their state.
    """
    supervisor = Supervisor()
    pool = ThreadPoolExecutor(at_once)
    futures: list[Future[Outcome]] = [
        pool.submit(run_job, job, machine, supervisor) for job in jobs
    ]
    try:
        for future in as_completed(futures, seconds):
            yield future.result()
    finally:
        for future in futures:
            future.cancel()
        supervisor.stop()
        pool.shutdown()
