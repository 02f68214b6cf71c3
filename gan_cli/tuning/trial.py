"""One trial: its runs, one per seed, watched while they train, and pruned."""

from __future__ import annotations

import errno
import logging
import math
import os
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


log = logging.getLogger(__name__)
COMPLETE, PRUNED, BROKEN = "complete", "pruned", "failed"
DISK_FULL = (files.NO_ROOM, os.strerror(errno.EDQUOT))


class MetricError(ConfigError):
    """No trial can ever have a value, so the whole study ends."""


class TrialFailedError(Exception):
    """One trial has no value; the study continues."""


class DiskFullError(UserError):
    """The disk is full: the study ends, and the trial is run again later."""


class MetricCurve:
    """The metric of a run while it trains, reported to its trial.

    Args:
        plan: of the study.
        run: the folder.
        trial: None for runs that are never pruned.

    Attributes:
        points: the values, by step.
        pruned: why the run is to end, "" if it is not.
    """

    def __init__(self, plan: StudyPlan, run: RunFolder, trial: Trial | None) -> None:
        self.metric, self.trial = plan.tune.metric, trial
        self.lower, self.last = plan.direction == MINIMIZE, plan.tune.value == "last"
        self.points: dict[int, float] = {}
        self.pruned = ""
        self._curves, self._names = Curves(run.metrics), set[str]()
        self._reported = set[int]()
        if trial is not None:  # by an earlier command
            stored = trial.storage.get_trial(trial._trial_id)
            self._reported = set(stored.intermediate_values)

    def read(self) -> list[int]:
        """Read the new points; their steps.

        Raises:
            MetricError: an evaluation has no such metric.
        """
        found = []
        for point in self._curves.new():
            names = point.keys() - {"step", "time"}
            self._names |= names
            evaluated = any(name.startswith(EVALUATED) for name in names)
            if self.metric in point:
                if (step := int(point["step"])) > 0:  # the untrained model cannot be the best
                    self.points[step] = point[self.metric]
                    found.append(step)
            elif evaluated and self.metric.startswith(EVALUATED):
                self.require()
        return found

    def require(self) -> None:
        """Raise MetricError if the run has not reported the metric."""
        if self.metric in self._names:
            return
        names = sorted(self._names)
        raise MetricError(
            f"tune.metric = {self.metric}: is never reported{hint(self.metric, names)}; these runs "
            f"report {', '.join(names) or 'nothing'}"
        )

    def watch(self) -> bool:
        """Read and report the new points; whether the run is to end."""
        for step in self.read():
            if not self.pruned and self._falls_behind(step):
                value = self.points[step]
                self.pruned = f"pruned at step {step:,} with {self.metric} {value:.4g}"
        return bool(self.pruned)

    def report_rest(self) -> None:
        """Report the points of a run that has finished, for comparison with others."""
        for step in sorted(self.points):
            self._falls_behind(step)

    def _falls_behind(self, step: int) -> bool:
        """Report a point, once; whether the trial should be pruned there."""
        value = self.points[step]
        if self.trial is None or step in self._reported or not math.isfinite(value):
            return False
        self._reported.add(step)
        if not self.last:  # its value will be the best one, so that is what others are told
            best = min if self.lower else max
            value = best(
                one for at, one in self.points.items() if at <= step and math.isfinite(one)
            )
        self.trial.report(value, step)
        return self.trial.should_prune()  # which also records how far this trial has come

    def value(self) -> float:
        """The run's value.

        Raises:
            TrialFailedError: it has none that is finite.
        """
        values = [self.points[step] for step in sorted(self.points)]
        values = values[-1:] if self.last else values
        finite = [value for value in values if math.isfinite(value)]
        if not finite:
            raise TrialFailedError(f"{self.metric} was never a finite number")
        return min(finite) if self.lower else max(finite)


@dataclass
class TrialResult:
    """The result of a trial."""

    state: str  # COMPLETE, PRUNED or BROKEN
    value: float | None = None  # mean over seeds
    values: list[float] = field(default_factory=list)  # one per seed
    why: str = ""


class TrialRunner:
    """Runs trials of a study.

    Args:
        plan: of the study.
        supervisor: starts the processes.
        environment: of the processes.
        more: overrides that do not change what a run learns.
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

    def run(self, trial: Trial, params: Mapping[str, str]) -> TrialResult:
        """Train the trial's runs, unless done before; the first one may be pruned.

        Raises:
            StoppedError: the whole command stops; the trial can be resumed.
            MetricError: no run of this study has such a metric.
            DiskFullError: there is no room; the trial can be run again.
        """
        result = TrialResult(COMPLETE)
        try:
            for seed in self.plan.tune.seeds:
                watched = None if result.values else trial
                value = self._train(seed, trial.number, params, watched)
                if isinstance(value, str):
                    result = TrialResult(PRUNED, why=value)
                    break
                result.values.append(value)
            else:
                result.value = sum(result.values) / len(result.values)
        except TrialFailedError as error:
            result = TrialResult(BROKEN, values=result.values, why=str(error))
        self._record(trial, params, result)
        return result

    def _train(
        self, seed: int, number: int, params: Mapping[str, str], trial: Trial | None
    ) -> float | str:
        """The value of one run, or why it was pruned; `trial` is None for later seeds."""
        run = RunFolder(self.plan.run_folder(number, seed))
        run.check_lock()
        while run.in_use():  # by a process that an ended command left behind
            if self.supervisor.stopped:
                raise StoppedError
            time.sleep(POLL)
        curve = MetricCurve(self.plan, run, trial)
        status = run.read_status()
        if status["status"] == FAILED and not disk_full(str(status.get("error"))):
            raise TrialFailedError(str(status.get("error")))
        if status["status"] != FINISHED:
            if not curve.watch():
                words = [*self.plan.options, *self.plan.fixed, *self.plan.added, *self.more]
                words += [f"{key}={text}" for key, text in params.items()]
                words += [f"seed={seed}", assignment("run.dir", run.path)]
                output = self.plan.work / f"{run.path.name}.log"
                exit_status = self.supervisor.run(
                    [TRAIN, *words], output, self.environment, curve.watch
                )
                if not curve.pruned and exit_status != DONE:
                    raise self._failure(run, exit_status, last_line(output))
            status = run.read_status()
        if curve.pruned and status["status"] != FINISHED:
            return curve.pruned
        curve.read()
        curve.require()
        self._check_direction(status)
        curve.report_rest()
        return curve.value()

    def _failure(self, run: RunFolder, exit_status: int, last: str) -> Exception:
        """The reason why a run has no value; `last` is the last line of its output."""
        status = run.read_status()
        error = str(status.get("error") or "") if status["status"] == FAILED else ""
        if disk_full(error or last) or files.full(self.plan.folder):
            return DiskFullError(
                f"{run.path}: {DISK_FULL[0]}; make room, and the same command tries the trial again"
            )
        if error:
            return TrialFailedError(error)
        if exit_status < 0:
            return TrialFailedError(killed_by(-exit_status))
        if exit_status == WRONG_INPUT and "evaluation.best = " in last:
            reason = last.partition("evaluation.best = ")[2]
            return MetricError(f"tune.metric = {EVALUATED}{reason}")
        return TrialFailedError(last.removeprefix("error: "))

    def _check_direction(self, status: Mapping[str, Any]) -> None:
        """Check an assumed direction against that of the metric's class, which a run records.

        Raises:
            MetricError: they differ.
        """
        best = status.get("best") or {}
        better = best.get("better")
        if self.plan.tune.direction != "auto" or better is None:
            return
        if f"{EVALUATED}{best.get('figure')}" != self.plan.tune.metric:
            return
        if (better == "lower") != (self.plan.direction == MINIMIZE):
            right = "minimize" if better == "lower" else "maximize"
            raise MetricError(f"tune.metric = {self.plan.tune.metric}: set tune.direction={right}")

    def _record(self, trial: Trial, params: Mapping[str, str], result: TrialResult) -> None:
        """Write the trial's result into the status of each of its runs."""
        record = {
            "study": self.plan.folder.name,
            "number": trial.number,
            "params": dict(params),
            "state": result.state,
            "metric": self.plan.tune.metric,
            "value": result.value,
            "why": result.why or None,
        }
        for seed in self.plan.tune.seeds:
            run = RunFolder(self.plan.run_folder(trial.number, seed))
            try:
                if run.status.exists():
                    write_record(run, record)
            except UserError as error:  # the study has the result
                log.warning(str(error))


def disk_full(error: str) -> bool:
    """Whether an error's text names a full disk or an exceeded quota."""
    return any(reason in error for reason in DISK_FULL)


def write_record(run: RunFolder, record: Mapping[str, Any]) -> None:
    """Add a trial's record to the status of a run that has ended, and its reason to the log."""
    with run.lock():
        status = run.read_status()
        kept = {key: status.get(key) for key in ("error", "updated", "pid", "hostname")}
        run.write_status(status["status"], status["step"], **kept, trial=record)
        if record["why"]:
            with open(files.appending(run.log), "a", encoding="utf-8") as file:  # noqa: PTH123
                file.write(f"trial {record['number']} of {record['study']}: {record['why']}\n")
