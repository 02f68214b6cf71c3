"""One trial: its runs, one per seed, followed while they train, and pruned."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gan_cli import atomic
from gan_cli.errors import UserError
from gan_cli.exits import DONE, WRONG_INPUT
from gan_cli.formatting import assignment
from gan_cli.jobs.processes import POLL, Children, StoppedError, command, last_line
from gan_cli.runs.folder import FAILED, FINISHED, RunFolder
from gan_cli.tuning.direction import EVALUATED, MINIMIZE
from gan_cli.tuning.judging import (
    Curve,
    DiskFullError,
    MetricError,
    Pruning,
    TrialFailedError,
)
from gan_cli.tuning.plan import Plan

if TYPE_CHECKING:
    from optuna import Trial

log = logging.getLogger(__name__)
TRAIN = "gan_cli.train"
COMPLETE, PRUNED, BROKEN = "complete", "pruned", "failed"
DISK_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
LEAST_ROOM = 2**20  # bytes on the disk, below which a failure is put down to the lack of them


@dataclass
class Played:
    """What became of a trial."""

    state: str  # COMPLETE, PRUNED or BROKEN
    value: float | None = None  # mean over seeds
    values: list[float] = field(default_factory=list)  # one per seed
    why: str = ""


class Player:
    """Plays trials of a plan, with processes of its own.

    Args:
        plan: the study.
        children: where processes are started.
        environment: of the processes.
        more: overrides that change nothing of what is learned.
    """

    def __init__(
        self, plan: Plan, children: Children, environment: Mapping[str, str], more: list[str]
    ) -> None:
        self.plan, self.children = plan, children
        self.environment, self.more = environment, more

    def play(self, trial: Trial, params: Mapping[str, str]) -> Played:
        """Train the trial's runs, as far as that is not done; the first one may be pruned.

        Raises:
            StoppedError: the whole command ends; the trial goes on another time.
            MetricError: no run of this study has such a metric.
            DiskFullError: there is no room; the trial can be tried again.
        """
        values: list[float] = []
        try:
            for seed in self.plan.tune.seeds:
                run = RunFolder(self.plan.run_folder(trial.number, seed))
                watched = None if values else trial
                value = self._run(run, seed, trial.number, params, watched)
                if isinstance(value, str):
                    return self._marked(trial, params, Played(PRUNED, why=value))
                values.append(value)
        except TrialFailedError as error:
            return self._marked(trial, params, Played(BROKEN, None, values, str(error)))
        return self._marked(trial, params, Played(COMPLETE, sum(values) / len(values), values))

    def _run(
        self,
        run: RunFolder,
        seed: int,
        number: int,
        params: Mapping[str, str],
        trial: Trial | None,
    ) -> float | str:
        """The run's value, or why it was pruned; `trial` is told of each point, if there is one."""
        while run.in_use():  # by what an ended command left behind
            if self.children.stopped:
                raise StoppedError
            time.sleep(POLL)
        curve = Curve(self.plan, run)
        pruning = Pruning(trial, curve)
        record = run.read_status()
        if record["status"] == FAILED and not disk_full(str(record.get("error"))):
            raise TrialFailedError(str(record.get("error")))
        if record["status"] != FINISHED:
            said = self.plan.work / f"{run.path.name}.log"
            if not pruning():
                words = [*self.plan.options, *self.plan.fixed, *self.plan.added, *self.more]
                words += [f"{key}={text}" for key, text in params.items()]
                words += [f"seed={seed}", assignment("run.dir", run.path)]
                status = self.children.run(
                    command(TRAIN, words), said, self.environment, watch=pruning
                )
                if not pruning.why and status != DONE:
                    raise self._broken(run, status, last_line(said))
            record = run.read_status()
        if pruning.why and record["status"] != FINISHED:
            return pruning.why
        curve.read()
        curve.require()
        self._check_direction(record)
        pruning.catch_up()
        return curve.value()

    def _broken(self, run: RunFolder, status: int, said: str) -> Exception:
        """Why a run has no value: what it says, its signal, or the reason for the whole study."""
        record = run.read_status()
        error = str(record.get("error") or "") if record["status"] == FAILED else ""
        if disk_full(error or said) or shutil.disk_usage(self.plan.folder).free < LEAST_ROOM:
            return DiskFullError(
                f"{run.path}: {DISK_FULL[0]}; make room, and the same command tries the trial again"
            )
        if error:
            return TrialFailedError(error)
        if status < 0:
            name = signal.Signals(-status).name
            more = "; was there enough memory?" if name == "SIGKILL" else ""
            return TrialFailedError(f"its process was ended by {name}{more}")
        if status == WRONG_INPUT and "evaluation.best = " in said:
            reason = said.partition("evaluation.best = ")[2]
            return MetricError(f"tune.metric = {EVALUATED}{reason}")
        return TrialFailedError(said.removeprefix("error: "))

    def _check_direction(self, record: Mapping[str, Any]) -> None:
        """The figure itself knows better which way it is better."""
        best = record.get("best") or {}
        better = best.get("better")
        if self.plan.tune.direction != "auto" or better is None:
            return
        if f"{EVALUATED}{best['figure']}" != self.plan.tune.metric:
            return
        if (better == "lower") != (self.plan.direction == MINIMIZE):
            way = "minimize" if better == "lower" else "maximize"
            raise MetricError(f"tune.metric = {self.plan.tune.metric}: set tune.direction={way}")

    def _marked(self, trial: Trial, params: Mapping[str, str], played: Played) -> Played:
        """Say in the status of each of the trial's runs what became of the trial."""
        told = {
            "study": self.plan.folder.name,
            "number": trial.number,
            "params": dict(params),
            "state": played.state,
            "metric": self.plan.tune.metric,
            "value": played.value,
            "why": played.why or None,
        }
        for seed in self.plan.tune.seeds:
            run = RunFolder(self.plan.run_folder(trial.number, seed))
            try:
                if run.status.exists():
                    mark(run, told)
            except UserError as error:  # the study itself knows it all
                log.warning(str(error))
        return played


def disk_full(error: str) -> bool:
    """Whether an error's text names a full disk or an exceeded quota."""
    return any(reason in error for reason in DISK_FULL)


def mark(run: RunFolder, told: Mapping[str, Any]) -> None:
    """Put a trial's record into the status of a run that has ended, and a line into its log."""
    with run.lock():
        record = run.read_status()
        kept = {key: record.get(key) for key in ("error", "updated", "pid", "hostname")}
        run.write_status(record["status"], record["step"], **kept, trial=told)
        if told["why"]:
            with open(atomic.appending(run.log), "a", encoding="utf-8") as file:  # noqa: PTH123
                file.write(f"trial {told['number']} of {told['study']}: {told['why']}\n")
