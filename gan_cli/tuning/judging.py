"""A run's metric while it trains: its points, its value, and when it falls behind."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gan_cli.config.wording import hint
from gan_cli.errors import ConfigError, UserError
from gan_cli.jobs.following import Curves
from gan_cli.runs.folder import RunFolder
from gan_cli.tuning.direction import EVALUATED, MINIMIZE
from gan_cli.tuning.plan import Plan

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

    def __init__(self, plan: Plan, run: RunFolder) -> None:
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
