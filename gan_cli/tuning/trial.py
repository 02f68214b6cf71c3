"""One trial: its runs, one per seed, followed while they train, and pruned."""

from __future__ import annotations

import errno
import logging
import math
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gan_cli import files
from gan_cli.errors import ConfigError, UserError
from gan_cli.exits import DONE, WRONG_INPUT
from gan_cli.formatting import assignment, hint
from gan_cli.jobs.processes import POLL, TRAIN, StoppedError, Supervisor, killed_by, last_line
from gan_cli.runs.curves import Curves
from gan_cli.runs.folder import FAILED, FINISHED, RunFolder
from gan_cli.tuning.plan import EVALUATED, MINIMIZE, StudyPlan

if TYPE_CHECKING:
    from optuna import Trial


class MetricError(ConfigError):
    """No trial can ever have a value, so the whole study ends."""


class TrialFailedError(Exception):
    """One trial has no value; the study goes on."""


class DiskFullError(UserError):
    """A trial's run had no room on the disk: the study ends, and the trial is tried again."""


class Curve:
    """The metric of one run, as its metrics.jsonl grows.

    Args:
        plan: says which metric, and how a trial is judged.
        run: the folder.
    """

    def __init__(self, plan: StudyPlan, run: RunFolder) -> None:
        self.metric, self.lower = plan.tune.metric, plan.direction == MINIMIZE
        self.last = plan.tune.value == "last"
        self.points: dict[int, float] = {}
        self._curves, self._names = Curves(run.metrics), set[str]()

    def read(self) -> list[int]:
        """The steps of the new points.

        Raises:
            MetricError: an evaluation was made and has no such figure.
        """
        found = []
        for point in self._curves.new():
            names = point.keys() - {"step", "time"}
            self._names |= names
            evaluated = any(name.startswith(EVALUATED) for name in names)
            if self.metric in point:
                # As it came into being, a model is no candidate.
                if (step := int(point["step"])) > 0:
                    self.points[step] = point[self.metric]
                    found.append(step)
            elif evaluated and self.metric not in self._names:
                self.require(self.metric.startswith(EVALUATED))
        return found

    def require(self, needed: bool = True) -> None:
        """Raise MetricError where the metric was not seen, and it had to be."""
        if not needed or self.metric in self._names:
            return
        names = sorted(self._names)
        raise MetricError(
            f"tune.metric = {self.metric}: is never reported{hint(self.metric, names)}; these runs "
            f"report {', '.join(names) or 'nothing'}"
        )

    def value(self) -> float:
        """The run's value.

        Raises:
            TrialFailedError: it has none that is finite.
        """
        points = self.points
        if self.last and points:
            points = {step: points[step] for step in [max(points)]}
        finite = [value for value in points.values() if math.isfinite(value)]
        if not finite:
            raise TrialFailedError(f"{self.metric} was never a finite number")
        return min(finite) if self.lower else max(finite)


class Pruning:
    """Tells a trial of its curve, and says when it is to be given up.

    Args:
        trial: None for runs that are never pruned.
        curve: of the run.
    """

    def __init__(self, trial: Trial | None, curve: Curve) -> None:
        self.trial, self.curve, self.why = trial, curve, ""
        self._told = set[int]()
        if trial is not None:  # what an earlier command told
            stored = trial.storage.get_trial(trial._trial_id)
            self._told = set(stored.intermediate_values)

    def __call__(self) -> bool:
        """Read what is new; whether the run is to end."""
        for step in self.curve.read():
            if not self.why and self._falls_behind(step):
                value = self.curve.points[step]
                self.why = f"pruned at step {step:,} with {self.curve.metric} {value:.4g}"
        return bool(self.why)

    def catch_up(self) -> None:
        """Tell of the points of a run that finished first: others are compared with it at each."""
        for step in sorted(self.curve.points):
            self._falls_behind(step)

    def _falls_behind(self, step: int) -> bool:
        """Pass a point on, once; whether others are so much better there."""
        value = self.curve.points[step]
        if self.trial is None or step in self._told or not math.isfinite(value):
            return False
        self._told.add(step)
        self.trial.report(value, step)
        return self.trial.should_prune()  # which also notes how far this trial has come


log = logging.getLogger(__name__)
COMPLETE, PRUNED, BROKEN = "complete", "pruned", "failed"
DISK_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
LEAST_ROOM = 2**20  # bytes on the disk, below which a failure is put down to the lack of them


@dataclass
class TrialResult:
    """What became of a trial."""

    state: str  # COMPLETE, PRUNED or BROKEN
    value: float | None = None  # mean over seeds
    values: list[float] = field(default_factory=list)  # one per seed
    why: str = ""


class TrialRunner:
    """Plays trials of a plan, with processes of its own.

    Args:
        plan: the study.
        supervisor: starts the processes.
        environment: of the processes.
        more: overrides that change nothing of what is learned.
    """

    def __init__(
        self,
        plan: StudyPlan,
        supervisor: Supervisor,
        environment: Mapping[str, str],
        more: list[str],
    ) -> None:
        self.plan, self.supervisor = plan, supervisor
        self.environment, self.more = environment, more

    def play(self, trial: Trial, params: Mapping[str, str]) -> TrialResult:
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
                    return self._marked(trial, params, TrialResult(PRUNED, why=value))
                values.append(value)
        except TrialFailedError as error:
            return self._marked(trial, params, TrialResult(BROKEN, None, values, str(error)))
        return self._marked(trial, params, TrialResult(COMPLETE, sum(values) / len(values), values))

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
            if self.supervisor.stopped:
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
                status = self.supervisor.run([TRAIN, *words], said, self.environment, pruning)
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
            return TrialFailedError(killed_by(-status))
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

    def _marked(self, trial: Trial, params: Mapping[str, str], played: TrialResult) -> TrialResult:
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
            with open(files.appending(run.log), "a", encoding="utf-8") as file:  # noqa: PTH123
                file.write(f"trial {told['number']} of {told['study']}: {told['why']}\n")
