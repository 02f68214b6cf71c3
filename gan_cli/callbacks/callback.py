"""The hooks of a run, and what a callback may know of the run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, ClassVar, TypeVar

from numpy import ndarray
from torch import Tensor

from gan_cli.config.instantiate import Trust, build, check, resolve
from gan_cli.config.schema import Settings
from gan_cli.errors import ConfigError
from gan_cli.exits import one_line
from gan_cli.formatting import needs
from gan_cli.model import Model
from gan_cli.runs.folder import RunFolder

log = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass(frozen=True)
class RunContext:
    """What a callback may know of its run: given to its constructor as `run`, if it takes that.

    Attributes:
        folder: of the run, with `path` and the places in it, such as `samples`.
        settings: validated.
        config: the settings as YAML.
        total: the step at which the run ends.
        device: what it is trained on, in words.
        hparams: settings by which runs are compared, a few, under flat names such as `prior.dim`.
        last_point: the step of an earlier start's last point that stays in the curves; None for
            the step at which this start begins.
        draw: makes the pictures of a step, by name, as `Callback.drawn` is given them.
        command: the command that was typed, for a shell.
        data: the name of the data set, the same in two runs only if all its samples are.
        constant: the curves that stay as they are from begin to end.
        changes: the steps from which on other updates are made than before.
        losses: reads the mean losses since the curves' last point; waits for the device.
        sampling: a context with the model in eval mode with averaged weights, to be looked at and
            not to be changed: `with run.sampling() as model: model.sample(64)`.
        indicators: measures curves of the model's health, such as "health/diversity".
    """

    folder: RunFolder
    settings: Settings
    config: str
    total: int
    draw: Callable[[int], Mapping[str, ndarray | str]]
    sampling: Callable[[], AbstractContextManager[Model]]
    device: str = "cpu"
    hparams: Mapping[str, object] = field(default_factory=dict)
    last_point: int | None = None
    command: str = ""
    data: Callable[[], str] = lambda: "data"
    constant: Collection[str] = ()
    indicators: Callable[[], Mapping[str, float]] | None = None
    losses: Callable[[], Mapping[str, float]] | None = None
    changes: Collection[int] = ()


class Callback:
    """Told what happens in a run; every hook does nothing unless overridden.

    `step` is the number of completed steps everywhere, so the first is 1 and 0 is before training.
    A constructor that has an argument `run` is given the `RunContext`.

    Attributes:
        fatal: errors of its hooks that end the run; any other is a warning, once.
        package: that it needs and gan-cli does not; the extra that installs it has the same name.
        address: its argument that says where it sends the run; null there is the user's own place.
    """

    fatal: ClassVar[tuple[type[Exception], ...]] = ()
    package: ClassVar[str] = ""
    address: ClassVar[str] = ""

    def start(self, step: int) -> None:
        """Training begins (0) or resumes (the resumed step)."""

    def stepped(self, step: int) -> None:
        """One step is done. Must be cheap: no device reads."""

    def logged(
        self, step: int, scalars: Mapping[str, float], outputs: Mapping[str, Tensor]
    ) -> None:
        """The scalars' means since the last log, and vectors whose distribution is of interest."""

    def drawn(self, step: int, pictures: Mapping[str, ndarray | str]) -> None:
        """Pictures by name, each uint8 [height, width, channels] with 1 or 3 channels.

        Of a model of sentences it is a text, a sentence in each line.
        """

    def evaluated(
        self, step: int, values: Mapping[str, float], pictures: Mapping[str, ndarray]
    ) -> None:
        """What was measured of the model, by the curve's name.

        Of an evaluation such as "metrics/psnr"; where pictures are drawn, of the model's health,
        such as "health/diversity".
        """

    def saved(self, step: int) -> None:
        """A checkpoint is on disk."""

    def alarmed(self, step: int, name: str, words: str) -> None:
        """The run ails: the alarm's name, such as "mode_collapse", and what may help."""

    def end(self, step: int, status: str) -> None:
        """The run is over: finished, interrupted or failed. Called once, whatever happened."""


def check_callbacks(nodes: Mapping[str, Any], trust: Trust) -> None:
    """Check before training that the settings' `callbacks` can be built.

    Raises:
        ConfigError: lists all that cannot.
    """
    faults = []
    for name, node in nodes.items():
        key = f"callbacks.{name}"
        wrong = check(node, key, trust, given=("run",), kind=Callback)
        package = "" if wrong else resolve(node["_target_"], trust, key).package
        if package and getattr(find_spec(package), "origin", None) is None:  # or a mere folder
            wrong = [f"{key}: {needs(package, package)}"]
        faults += wrong
    if faults:
        raise ConfigError("\n".join(faults))


def build_callbacks(run: RunContext, trust: Trust, silent: Collection[str] = ()) -> list[Callback]:
    """The callbacks that the settings choose, in their order, without the `silent` ones.

    Raises:
        ConfigError: one cannot be built.
    """
    nodes = run.settings.callbacks
    return [
        build(node, f"callbacks.{name}", trust, run=run)
        for name, node in nodes.items()
        if name not in silent
    ]


class Callbacks(Callback):
    """Several callbacks as one; the failure of one that only watches does not end the run.

    Args:
        callbacks: called in this order, and at the end in the reverse one.
    """

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.callbacks = list(callbacks)
        self._warned: set[str] = set()

    def start(self, step: int) -> None:
        self._each("start", step)

    def stepped(self, step: int) -> None:
        self._each("stepped", step)

    def logged(
        self, step: int, scalars: Mapping[str, float], outputs: Mapping[str, Tensor]
    ) -> None:
        self._each("logged", step, scalars, outputs)

    def drawn(self, step: int, pictures: Mapping[str, ndarray | str]) -> None:
        self._each("drawn", step, pictures)

    def evaluated(
        self, step: int, values: Mapping[str, float], pictures: Mapping[str, ndarray]
    ) -> None:
        self._each("evaluated", step, values, pictures)

    def saved(self, step: int) -> None:
        self._each("saved", step)

    def alarmed(self, step: int, name: str, words: str) -> None:
        self._each("alarmed", step, name, words)

    def end(self, step: int, status: str) -> None:
        """Call it of every callback, whatever another one raises."""
        with ExitStack() as ends:
            for callback in self.callbacks:
                ends.callback(self._call, callback, "end", step, status)

    def attempt(self, name: str, work: Callable[[], Result], otherwise: Result) -> Result:
        """The result of work that only watches; its failure is a warning, once for each `name`."""
        try:
            return work()
        except Exception as error:
            self._warn(name, error)
            return otherwise

    def _each(self, hook: str, *arguments: Any) -> None:
        for callback in self.callbacks:
            self._call(callback, hook, *arguments)

    def _call(self, callback: Callback, hook: str, *arguments: Any) -> None:
        try:
            getattr(callback, hook)(*arguments)
        except Exception as error:
            if isinstance(error, callback.fatal):
                raise
            self._warn(type(callback).__name__, error)

    def _warn(self, name: str, error: Exception) -> None:
        if name not in self._warned:
            self._warned.add(name)
            log.warning(f"{name}: {one_line(error)}; training continues", exc_info=error)
