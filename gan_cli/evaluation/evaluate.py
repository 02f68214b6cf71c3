"""Compute metrics of a subject, one after the other; one that fails does not stop the others."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from gan_cli.errors import ConfigError
from gan_cli.evaluation.features import exactly
from gan_cli.evaluation.metric import LOWER, NEITHER, MetricValue, Plot, Subject
from gan_cli.evaluation.registry import Choice
from gan_cli.evaluation.report import Report
from gan_cli.exits import one_line
from gan_cli.formatting import SENSIBLE, hint, number
from gan_cli.seeding import mix, seed_streams

log = logging.getLogger(__name__)
MEASURED = 0x3EA5  # keeps this random stream apart from those of samples


def silent(name: str) -> None:
    """Tell nobody."""


def evaluate(
    subject: Subject, choice: Choice, run: str = "", tell: Callable[[str], object] = silent
) -> Report:
    """The values of all metrics that `choice` takes.

    Each metric finds the same random stream whichever others run, and the program's own stream
    is afterwards what it was.

    Args:
        subject: what is evaluated.
        choice: the metrics.
        run: its folder, for the report.
        tell: called with a metric's name before it begins.
    """
    figures: list[MetricValue] = []
    pictures: list[Plot] = []
    failed: dict[str, str] = {}
    device = subject.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for metric in choice.taken:
            tell(metric.name)
            seed_streams(mix(subject.options.seed, MEASURED), device)
            try:
                with exactly():
                    found = metric.measure(subject)
            except Exception as error:
                failed[metric.name] = one_line(error)
                log.debug(f"{metric.name} failed", exc_info=True)
                continue
            figures += map(metric.directed, found.values)
            pictures += found.pictures
    return Report(
        run, subject.step, subject.weights, figures, dict(choice.unfit), failed, tuple(pictures)
    )


def missed(report: Report, choice: Choice) -> Sequence[str]:
    """The metrics that were asked for by name and failed."""
    return [name for name in choice.named if name in report.failed]


def selection_metric(wanted: str | None, figures: Sequence[MetricValue]) -> MetricValue | None:
    """The figure that says which step is best; None where there is no such figure at all.

    Args:
        wanted: evaluation.best, a figure's name; None for the most sensible one.
        figures: all there are.

    Raises:
        ConfigError: there is no figure `wanted`, or it has no better and worse.
    """
    fit = {figure.name: figure for figure in figures if figure.better != NEITHER}
    if wanted is None:
        return next((fit[name] for name in (*SENSIBLE, *fit) if name in fit), None)
    if wanted in fit:
        return fit[wanted]
    if wanted in [figure.name for figure in figures]:
        raise ConfigError(f"evaluation.best = {wanted}: has no better direction; {_there(fit)}")
    near = hint(wanted, fit)
    raise ConfigError(f"evaluation.best = {wanted}: no such metric{near}; {_there(fit)}")


def _there(fit: Mapping[str, MetricValue]) -> str:
    return f"available: {', '.join(fit)}" if fit else "none is available"


@dataclass
class Best:
    """The best value of a figure over a run's evaluations; a part of the run's state."""

    figure: str
    better: str
    value: float | None = None  # None before the first finite one
    step: int = 0
    misses: int = 0  # evaluations since then

    def take(self, value: float | None, step: int) -> bool:
        """Note the figure at `step`, None where it could not be had; whether it is the best.

        NaN and infinity never are.
        """
        if value is not None and math.isfinite(value) and self._beats(value):
            self.value, self.step, self.misses = value, step, 0
            return True
        self.misses += 1
        return False

    def forget(self) -> None:
        """The next finite value is the best again."""
        self.value, self.step, self.misses = None, 0, 0

    def _beats(self, value: float) -> bool:
        if self.value is None:
            return True
        return value < self.value if self.better == LOWER else value > self.value

    def state_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def told(self) -> dict[str, Any]:
        """What status.json keeps."""
        return {
            "figure": self.figure,
            "better": self.better,
            "value": self.value,
            "step": self.step,
        }

    def __str__(self) -> str:
        if self.value is None:
            return f"no finite {self.figure} yet"
        return f"{self.figure} {number(self.value)} at step {self.step:,}"
