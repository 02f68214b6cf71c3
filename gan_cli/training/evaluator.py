"""Evaluation during training: metric values, the best step, and early stopping."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from gan_cli.config.groups import METRIC
from gan_cli.config.instantiate import Trust
from gan_cli.errors import CheckpointError, ConfigError
from gan_cli.evaluation.evaluate import Best, evaluate, missed, selection_metric
from gan_cli.evaluation.metric import Options
from gan_cli.evaluation.registry import Choice, choose, extractors, parse
from gan_cli.evaluation.report import Report, read_pictures, write
from gan_cli.evaluation.trained_model import Real, TrainedModel
from gan_cli.formatting import number, show
from gan_cli.model import Model, nothing
from gan_cli.runs.folder import RunFolder
from gan_cli.training.loop import Evaluation
from gan_cli.training.setup import Session

log = logging.getLogger(__name__)
Pause = Callable[[], None]
COMPARABLE = ("samples", "split", "seed", "inception")  # values of other settings differ
LATER = ("resize", "extractor")  # the same, which earlier checkpoints lack


class Evaluator:
    """Evaluates a session's model, and is a part of the run's state.

    Args:
        session: as assembled.
        trust: the modules whose classes may be built.
        folders: of --config-dir, which may hold metrics.

    Raises:
        ConfigError: the settings name something unknown.
        UserError: a metric that is asked for by name cannot be computed.
    """

    def __init__(self, session: Session, trust: Trust, folders: Sequence[Path] = ()) -> None:
        self.folders = [folder for folder in folders if (folder / METRIC).is_dir()]
        self._trust = trust
        self.settings = session.settings.evaluation
        self.trainer = session.trainer
        self.run: RunFolder | None = None  # where reports are written
        self.best: Best | None = None
        self.evaluated: int | None = None
        self._values: dict[str, float] = {}  # of the last evaluation
        self._first: Report | None = None  # of the untrained model
        self._warned: set[str] = set()
        self._choice: Choice | None = None
        chosen = self.settings
        self._options = Options(
            chosen.samples,
            chosen.seed,
            chosen.split,
            inception=chosen.inception,
            resize=chosen.resize,
            extractor=chosen.extractor,
        )
        node, data = session.settings.data, session.dataset
        self._real = Real(node, chosen.split, trust, data, outputs=session.settings.outputs)
        self._extractors = extractors(self._real, data.spec, session.device, self._options, trust)

    def check(self) -> None:
        """Check that the metrics exist and apply to this model.

        Raises:
            ConfigError: they do not.
        """
        with self._sampling() as model:
            names = requested(self.settings.metrics)
            key, subject = "evaluation.metrics", self._subject(model)
            self._choice = choose(names, subject, key, self.folders, self._trust)
        for name in self._choice.named:
            if reason := self._choice.unfit.get(name):
                raise ConfigError(f"evaluation.metrics = {name}: {reason}")

    def prepare(self, earlier: Mapping[str, Any] | None = None) -> None:
        """Check before training that every requested metric can be computed.

        A new run is evaluated, which is the first point of its curves. This trains the classifier,
        fetches weights and computes statistics of real data, where the cache has none. So is a run
        that resumes with other settings of its evaluation.

        Args:
            earlier: the state of the earlier start that is resumed.

        Raises:
            ConfigError: an unknown metric, or an unknown value to select the best step by.
            UserError: a metric that is asked for by name fails.
            CheckpointError: `earlier` is not such a state.
        """
        self.check()
        assert self._choice is not None
        chosen = self.settings
        if earlier is not None:
            _check(earlier)
        if earlier is not None and earlier["settings"] == chosen.model_dump():
            self.load_state_dict(earlier)
            return
        log.info("checking that evaluation works (one pass before training)")
        report = self._report(nothing)
        for name in missed(report, self._choice):
            raise ConfigError(f"evaluation.metrics = {name}: {report.failed[name]}")
        self._warn(report)
        by = selection_metric(chosen.best, report.values)
        if by is None and chosen.patience is not None:
            raise ConfigError(
                f"evaluation.patience = {chosen.patience}: no metric can select the best step; "
                "remove it, or choose other evaluation.metrics"
            )
        self.best = None if by is None else Best(by.name, by.better)
        if self.trainer.step == 0:
            self._first = report
        elif earlier is not None:
            self._keep_best(earlier)

    def _keep_best(self, earlier: Mapping[str, Any]) -> None:
        """Keep the best step of earlier settings, where their values are comparable."""
        now = self.settings.model_dump()
        before = type(self.settings)().model_dump() | earlier["settings"]
        changed = [key for key in (*COMPARABLE, *LATER) if before[key] != now[key]]
        old = earlier["best"]
        if changed and old and old["value"] is not None:
            key = changed[0]
            log.warning(
                f"evaluation.{key} = {show(now[key])}: was {show(before[key])}, with which "
                f"{Best(**old)} was the best; values now are not comparable with it, so the best "
                "checkpoint is chosen from here on"
            )
        if not changed and old and self.best and old["figure"] == self.best.figure:
            self.best = Best(**old)
        self.evaluated, self._values = earlier["evaluated"], dict(earlier["figures"])

    def __call__(self, step: int, pause: Pause) -> Evaluation:
        """Evaluate the model as it is now."""
        assert self._choice is not None, "prepare comes first"
        report = self._first if step == 0 and self._first else self._report(pause)
        self._first = None
        if self.run is not None:
            write(replace(report, run=str(self.run.path)), self.run)
        self._warn(report)
        self._values = {f"metrics/{f.name}": f.value for f in report.values}
        self.evaluated = step
        pictures = {f"metrics/{p.name}": p.image for p in report.pictures}
        # As it came into being, a model is no candidate.
        improved = step > 0 and self._improved(step)
        return Evaluation(self._values, pictures, improved, self.exhausted())

    def _improved(self, step: int) -> bool:
        if self.best is None:
            return False
        value = self._values.get(f"metrics/{self.best.figure}")
        improved = self.best.take(value, step)
        shown = "failed" if value is None else number(value)
        rest = "the best so far" if improved else f"best: {self.best}"
        log.info(f"step {step:,}: {self.best.figure} {shown}, {rest}")
        return improved

    def again(self) -> Evaluation:
        """The values of the last evaluation, and its pictures in the run folder."""
        assert self.run is not None, "a resumed run has a folder"
        assert self.evaluated is not None, "and has been evaluated"
        found = read_pictures(self.run, self.evaluated, self._weights())
        pictures = {f"metrics/{name}": image for name, image in found.items()}
        return Evaluation(self._values, pictures, give_up=self.exhausted())

    def exhausted(self) -> str:
        """Why training shall stop, or nothing."""
        patience, best = self.settings.patience, self.best
        if patience is None or best is None or best.misses < patience:
            return ""
        return f"stopped early, {best.misses} evaluations without a better one than {best}"

    def state_dict(self) -> dict[str, Any]:
        """The state that a resumed run needs to equal one that never stopped."""
        return {
            "settings": self.settings.model_dump(),
            "evaluated": self.evaluated,
            "figures": self._values,
            "best": None if self.best is None else self.best.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.evaluated, self._values = state["evaluated"], dict(state["figures"])
        self.best = None if state["best"] is None else Best(**state["best"])

    def _subject(self, model: Model) -> TrainedModel:
        step, weights = self.trainer.step, self._weights()
        return TrainedModel(model, step, weights, self._options, self._real, self._extractors)

    def _weights(self) -> str:
        return "ema" if self.trainer.average.values else "raw"

    def _report(self, pause: Pause) -> Report:
        assert self._choice is not None, "prepare comes first"
        self._real.pause = pause
        with self._sampling() as model:
            return evaluate(self._subject(model), self._choice)

    @contextmanager
    def _sampling(self) -> Iterator[Model]:
        # Drawing samples builds no graph, but a metric may train a classifier.
        with self.trainer.sampling() as model, torch.enable_grad():
            yield model

    def _warn(self, report: Report) -> None:
        for name, reason in report.failed.items():
            if f"{name}: {reason}" not in self._warned:
                self._warned.add(f"{name}: {reason}")
                log.warning(f"{name} could not be computed: {reason}")


def requested(metrics: str | list[str]) -> str | list[str]:
    """The names in evaluation.metrics."""
    return parse(metrics) if isinstance(metrics, str) else list(metrics)


def _check(state: Mapping[str, Any]) -> None:
    """Check that `state` is that of an evaluator.

    Raises:
        CheckpointError: it is not.
    """
    settings, best = state.get("settings"), state.get("best")
    right = {"evaluated", "figures", "best"} <= state.keys() and isinstance(state["figures"], dict)
    right = right and isinstance(state["evaluated"], int | None)
    right &= isinstance(settings, dict) and set(COMPARABLE) <= settings.keys()
    if best is not None:
        right &= isinstance(best, dict) and best.keys() == {field.name for field in fields(Best)}
        right = right and isinstance(best["value"], float | int | None)
    if not right:
        raise CheckpointError("the checkpoint's evaluation is not that of a run")
