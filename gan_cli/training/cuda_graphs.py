"""Updates recorded as CUDA graphs and replayed.

A step's updates are grouped into units. A unit runs eagerly a few times, which are true steps of
training, is then recorded, and from then on replayed: the host copies the samples' indices into
the unit's own index, and launches one graph. `repeat`, `every`, `start` and `stop` stay in Python.
Random numbers are those of an eager step, as a graph reads seed and offset of the device's stream
whenever it is replayed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from gan_cli.errors import ConfigError
from gan_cli.exits import one_line
from gan_cli.model import Batch, Phase
from gan_cli.training.freezer import Freezer
from gan_cli.training.optimizers import PlayerOptimizer
from gan_cli.training.running_means import RunningMeans, Tally

log = logging.getLogger(__name__)
WARM_UPS = 3  # eager rounds before a unit is recorded, as torch's documentation has it


class PhaseUpdate(NamedTuple):
    """One update of a step."""

    phase: Phase
    freezer: Freezer
    place: int  # of its batch among the step's


# Makes updates eagerly, as `Trainer.play`.
Make = Callable[[Sequence[PhaseUpdate], Sequence[Batch], bool], None]


class Recorder(Protocol):
    """Records the kernels that a function launches; see `CudaRecorder`."""

    def warm(self, run: Callable[[], None]) -> str:
        """Run it on the recording's stream; why it must not be recorded, or nothing."""
        ...

    def capture(self, run: Callable[[], None]) -> Callable[[], None]:
        """Record it without running it; returns the function that replays it.

        Raises:
            Exception: it cannot be recorded. Nothing has been run, and no random number is lost,
                but earlier recordings no longer follow the device's random stream.
        """
        ...


class GraphPlan(NamedTuple):
    """The updates of a step that make a unit, and the batches that they use."""

    key: tuple[object, ...]
    turns: list[PhaseUpdate]  # with places among the unit's own batches
    places: list[int]  # of these among the step's


@dataclass
class Unit:
    """Updates that are always made together."""

    inputs: list[Tensor]  # places of the samples of each batch, where the recording reads them
    warmed: int = 0
    replay: Callable[[], None] | None = None
    tally: Tally | None = None  # of one round
    eager: bool = False


class Graphs:
    """Makes a step's updates, replayed from recordings where possible.

    Args:
        recorder: of the device.
        whole: one recording for all updates of a step, instead of one for each.
    """

    def __init__(self, recorder: Recorder, whole: bool = False) -> None:
        self._recorder, self._whole = recorder, whole
        self._plans: dict[tuple[object, ...], list[GraphPlan]] = {}
        self._units: dict[tuple[object, ...], Unit] = {}
        self.replays = 0  # so far
        self.reasons: dict[str, str] = {}  # why not, by the phases of a unit

    def forget(self) -> None:
        """Drop all recordings, as after loading a state: tensors have moved in memory."""
        self._units.clear()

    def play(
        self,
        make: Make,
        turns: Sequence[PhaseUpdate],
        batches: Sequence[Batch],
        measure: bool,
        window: RunningMeans,
        whole: bool = False,
    ) -> None:
        """Make all updates of a step.

        Args:
            make: makes them eagerly.
            turns: the updates.
            batches: of the step.
            measure: as in `Trainer.advance`.
            window: of the running means that the updates add to.
            whole: one recording for all updates of this step.
        """
        signature = tuple((id(turn.phase), turn.place) for turn in turns)
        plans = self._plans.get(signature)
        if plans is None:
            plans = self._plans[signature] = units_of(turns, whole or self._whole)
        for plan in plans:
            self._play(plan, make, [batches[place] for place in plan.places], measure, window)

    def _play(
        self, plan: GraphPlan, make: Make, batches: list[Batch], measure: bool, window: RunningMeans
    ) -> None:
        key = (*plan.key, measure)
        unit = self._units.get(key)
        if unit is None:
            unit = self._units[key] = Unit([batch.index.clone() for batch in batches])
        if unit.eager:
            make(plan.turns, batches, measure)
            return
        for own, batch in zip(unit.inputs, batches, strict=True):
            own.copy_(batch.index)
        if unit.replay is None:
            timed: list[bool] = []

            def run() -> None:
                # It must read the samples' indices where later ones will be written.
                own = [b.at(place) for b, place in zip(batches, unit.inputs, strict=True)]
                make(plan.turns, own, measure)
                timed.extend(batch.step_was_read for batch in own)

            if unit.warmed < WARM_UPS:
                reason = self._recorder.warm(run)
                if any(timed):
                    reason = "whose loss reads the run's step, as model.instance_noise_steps does"
                if reason:
                    self._give_up(unit, plan, reason)
                unit.warmed += 1
                return
            reason = ""
            try:
                with window.separate_tally() as tally:
                    unit.replay, unit.tally = self._recorder.capture(run), tally
            except Exception as error:
                reason = f"which cannot be recorded: {one_line(error)}"
            if reason:  # outside `except`, as the error keeps the broken update's graph alive
                self._give_up(unit, plan, reason)
                for other in self._units.values():
                    other.replay = other.tally = None  # each is recorded again
                make(plan.turns, batches, measure)
                return
        assert unit.replay is not None
        unit.replay()
        assert unit.tally is not None, "set with the recording"
        window.merge(unit.tally)
        self.replays += 1

    def _give_up(self, unit: Unit, plan: GraphPlan, reason: str) -> None:
        unit.eager = True
        names = " and ".join(dict.fromkeys(turn.phase.name for turn in plan.turns))
        if names not in self.reasons:
            self.reasons[names] = reason
            log.info(f"CUDA graphs: off for {names}, {reason}")


def units_of(turns: Sequence[PhaseUpdate], whole: bool = False) -> list[GraphPlan]:
    """Group a step's updates: each is a unit, except those that share a graph of autograd.

    From a phase with `Phase.shares` on, all later updates of the step are one unit, as the graph
    between them must be recorded in one piece.

    Args:
        turns: the updates, in order.
        whole: make all of them one unit.
    """
    groups: list[list[PhaseUpdate]] = []
    for turn in turns:
        if groups and (whole or any(earlier.phase.shares for earlier in groups[-1])):
            groups[-1].append(turn)
        else:
            groups.append([turn])
    return [_plan(group) for group in groups]


def _plan(group: Sequence[PhaseUpdate]) -> GraphPlan:
    places = list(dict.fromkeys(turn.place for turn in group))
    turns = [turn._replace(place=places.index(turn.place)) for turn in group]
    return GraphPlan(tuple((id(turn.phase), turn.place) for turn in turns), turns, places)


class CudaRecorder:
    """Records the kernels that a function launches as a CUDA graph.

    All graphs share one pool of memory, as nothing in it outlives a replay: what the curves need
    is written to the places that `RunningMeans` keeps.

    Args:
        device: the CUDA device, which must be the current one.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def warm(self, run: Callable[[], None]) -> str:
        """Run it on the recording's stream; why it must not be recorded, or nothing."""
        here = torch.cuda.current_stream(self._device)
        before = torch.default_generator.get_state()
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            run()
        here.wait_stream(self._stream)
        if torch.equal(before, torch.default_generator.get_state()):
            return ""
        return "which draws random numbers on the CPU"

    def capture(self, run: Callable[[], None]) -> Callable[[], None]:
        """Record it without running it; returns the function that replays it."""
        here = torch.cuda.current_stream(self._device)
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        spare = generator.clone_state()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                run()
        except BaseException:
            # torch leaves the stream, the random stream and the pool in recording mode.
            torch.cuda.set_stream(here)
            generator.graphsafe_set_state(spare)
            self._pool = torch.cuda.graph_pool_handle()
            raise
        return graph.replay


def hindrance(
    wanted: bool | str,
    device: torch.device,
    *,
    resident: bool,
    compiled: bool,
    ranks: int,
    accumulate: int = 1,
    steady: bool = True,
    optimizers: Iterable[Optimizer],
) -> str:
    """Why a run cannot use CUDA graphs; empty where it can.

    Args:
        wanted: `runtime.graphs`: "auto", true or false.
        device: of the run.
        resident: whether the data lies on it.
        compiled: whether the networks are compiled.
        ranks: the number of ranks.
        accumulate: parts of each batch.
        steady: whether no optimizer changes its betas.
        optimizers: of all players.

    Raises:
        ConfigError: graphs are required and impossible.
    """
    reason = ""
    if device.type != "cuda":
        reason = f"only CUDA devices have them, and this run is on {device.type}"
    elif wanted is False:
        reason = "runtime.graphs = false"
    elif compiled:
        reason = "runtime.compile = true brings its own way"
    elif ranks > 1:
        reason = f"gradients travel between {ranks} devices"
    elif accumulate > 1:
        reason = f"accumulate = {accumulate} draws the same random numbers for each part"
    elif not steady:
        reason = "optimizer.final_betas changes numbers that a recording keeps"
    elif not resident:
        reason = "the data does not fit on the device, so batches come from the host"
    else:
        reason = next(filter(None, map(_uncapturable, optimizers)), "")
    if wanted is True and reason:
        raise ConfigError(f"runtime.graphs = true: {reason}; set runtime.graphs=auto")
    return reason


def _uncapturable(optimizer: Optimizer) -> str:
    """Why an optimizer's step cannot be recorded; empty where it can."""
    for group in optimizer.param_groups:
        if "capturable" not in group and not (isinstance(optimizer, SGD) and group["fused"]):
            return f"{type(optimizer).__name__} computes on the host"
    return ""


def make_capturable(player: PlayerOptimizer) -> None:
    """Keep all inputs of an optimizer's step on the device, where a graph reads them."""
    for group in player.optimizer.param_groups:
        if "capturable" in group:
            group["capturable"] = True
        if not isinstance(group["lr"], Tensor):
            device = group["params"][0].device
            group["lr"] = torch.tensor(player.rate, dtype=torch.float32, device=device)
