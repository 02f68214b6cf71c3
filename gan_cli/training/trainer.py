"""The trainer: runs a model's phases, step by step, and resumes exactly.

A step is a pure function of (weights, optimizer state, seed, step): its random stream is seeded
from (seed, step), and the images it sees are a function of (seed, step). So the whole state of a
run is its weights, averaged weights, optimizers and step counter.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gan_cli.ema import Average
from gan_cli.model import Batch, Loss, Model, Phase, updates
from gan_cli.seeding import mix, seed_streams
from gan_cli.training.accumulation import in_parts
from gan_cli.training.cuda_graphs import Graphs, PhaseUpdate
from gan_cli.training.freezer import Freezer
from gan_cli.training.optimizers import PlayerOptimizer
from gan_cli.training.running_means import RunningMeans


class Observer(Protocol):
    """Looks at every update."""

    def computed(self, phase: Phase, batch: Batch, loss: Loss) -> None:
        """A loss is there, and its gradients where the phase has some."""
        ...

    def moved(self, phase: Phase, batch: Batch) -> None:
        """The optimizer has moved the weights."""
        ...


class Trainer:
    """Runs a model's phases in their order.

    Args:
        model: on its device.
        players: an optimizer for each name in the phases' `player`.
        batch: returns the k-th batch of the run; a pure function of k.
        seed: of the steps' random streams.
        average: of the weights, for sampling.
        autocast: bf16 within the losses.
        gather: called with the parameters between backward and the optimizer's step; averages
            their gradients over the devices.
        level: called after `gather` with the buffers that follow an update's samples, which a
            module names in `of_samples`; averages them over the devices.
        drawing: a context entered around a step, which may change its random numbers.
        graphs: record the updates as CUDA graphs, and replay them.
        accumulate: parts of each batch that are computed one after the other (see
            `gan_cli.training.accumulation`); may be changed between steps. Above 1 nothing is
            replayed.
    """

    def __init__(
        self,
        model: Model,
        players: Mapping[str, PlayerOptimizer],
        batch: Callable[[int], Batch],
        seed: int,
        average: Average,
        autocast: bool = False,
        gather: Callable[[Sequence[nn.Parameter]], None] | None = None,
        level: Callable[[Sequence[Tensor]], None] | None = None,
        drawing: Callable[[], AbstractContextManager[object]] = nullcontext,
        graphs: Graphs | None = None,
        accumulate: int = 1,
    ) -> None:
        self.model, self.players, self.average = model, players, average
        self.step = 0  # completed steps
        self.looked = -1  # the last step at which a half-filled window was logged
        self.whole = True  # false during a step, and after one that failed
        self.window = RunningMeans()
        model.use_optimizers({name: player.optimizer for name, player in players.items()})
        self.seed, self._batch, self._device = seed, batch, model.device
        self._phases = model.phases()
        self._focus = [Freezer(model, phase) for phase in self._phases]
        self.drawn = 0  # batches that the completed steps have used
        self.precision = (
            (lambda: torch.autocast(self._device.type, dtype=torch.bfloat16))
            if autocast
            else nullcontext
        )
        self._gather, self._level = gather, level
        self._drawing, self.graphs = drawing, graphs
        self._of_samples = [
            module.get_buffer(name)
            for module in model.modules()
            for name in getattr(module, "of_samples", ())
        ]
        self.observer: Observer | None = None
        self.accumulate = accumulate

    def advance(self, measure: bool = False) -> None:
        """One step: every phase that is due, in order.

        Args:
            measure: also compute the norms of gradients, for `read`.
        """
        self.whole = False
        seed_streams(mix(self.seed, self.step), self._device)
        for player in self.players.values():
            player.set_rate(self.step)
        turns = self.turns()
        count = 1 + max((turn.place for turn in turns), default=-1)
        batches = [self._batch(self.drawn + place) for place in range(count)]
        for batch in batches:
            batch.step = self.step
        with self._drawing():
            if self.graphs is None or self.accumulate > 1:
                self.play(turns, batches, measure)
            else:
                # Where all gradients come before the first move, or updates share drawn noise.
                whole = self.model.simultaneous or any(batch.noisy for batch in batches)
                self.graphs.play(self.play, turns, batches, measure, self.window, whole)
        self.drawn += len(batches)
        self.step += 1
        self.average.update(self.step)
        self.whole = True

    def turns(self) -> list[PhaseUpdate]:
        """The updates of the step, in order; a player's i-th uses the step's i-th batch."""
        turns: list[PhaseUpdate] = []
        used: Counter[str] = Counter()
        freezer = {id(phase): one for phase, one in zip(self._phases, self._focus, strict=True)}
        for phase in updates(self._phases, self.step):
            turns.append(PhaseUpdate(phase, freezer[id(phase)], used[phase.player]))
            used[phase.player] += 1
        return turns

    def play(self, turns: Sequence[PhaseUpdate], batches: Sequence[Batch], measure: bool) -> None:
        """Make updates, one after the other, or all at the same weights."""
        applied, late = None, []
        last = {turn.phase.name: turn for turn in turns} if measure else {}
        for turn in turns:
            if turn.freezer is not applied:
                turn.freezer.apply()
                applied = turn.freezer
            if self.model.simultaneous:
                batch = batches[turn.place]
                late.append((turn.phase, batch, self._gradients(turn.phase, batch)))
            else:  # norms are those of a phase's last update
                measured = last.get(turn.phase.name) is turn
                self._update(turn.phase, batches[turn.place], measured)
        for phase, batch, loss in late:
            self._step(phase, batch, loss, measure)

    def _update(self, phase: Phase, batch: Batch, measure: bool) -> None:
        if phase.solved:
            with torch.no_grad(), self.precision():
                loss = phase.loss(batch)
            if self.observer is not None:
                self.observer.computed(phase, batch, loss)
            with torch.no_grad():
                phase.after()
            self.window.add(phase.name, loss, {})
            return
        self._step(phase, batch, self._gradients(phase, batch), measure)

    def _gradients(self, phase: Phase, batch: Batch) -> Loss:
        """Compute the phase's loss and the gradients of what it trains."""
        player = self.players[phase.player]
        player.optimizer.zero_grad(set_to_none=True)
        parts = self.accumulate

        def play(part: Batch) -> Loss:
            with self.precision():
                loss = phase.loss(part)
            total = loss.total if parts == 1 else loss.total / parts
            # A later phase continues from the graph of the shared modules, so backward must not
            # enter it.
            total.backward(inputs=player.parameters if phase.shares else None)
            return loss

        loss = play(batch) if parts == 1 else in_parts(self.model, batch, parts, play)
        if self._gather is not None:
            self._gather(player.parameters)
        if self._level is not None:
            self._level(self._of_samples)
        if self.observer is not None:
            self.observer.computed(phase, batch, loss)
        return loss

    def _step(self, phase: Phase, batch: Batch, loss: Loss, measure: bool) -> None:
        """Move what the phase trains by its gradients."""
        player = self.players[phase.player]
        norms: dict[str, Tensor] = {}
        if measure and phase.name == phase.player:  # not the separate updates of a lazy penalty
            norms = gradient_norms(self.model, phase)
        if player.clip_norm is not None:
            nn.utils.clip_grad_norm_(player.parameters, player.clip_norm)
        player.optimizer.step()
        phase.after()
        if self.observer is not None:
            self.observer.moved(phase, batch)
        self.window.add(phase.name, loss, norms)

    def read(self) -> dict[str, float]:
        """The curves' next point: means since the last `window.clear`, norms, learning rates."""
        norms = self.window.norms | weight_norms(self.model)
        values = torch.stack(list(norms.values())).tolist()
        rates = {
            f"learning_rate/{name}": player.learning_rate(self.step - 1)
            for name, player in self.players.items()
        }
        return self.window.means() | dict(zip(norms, values, strict=True)) | rates

    def clear(self) -> None:
        """Start the next window of the curves."""
        self.window.clear()

    def not_finite(self) -> str:
        """The part of the state that holds NaN or infinity, or nothing; reads the device."""
        parts = {
            "weights": self.model.parameters(),
            "buffers": self.model.state_dict().values(),  # and weights, which come first
            "averaged weights": self.average.values.values(),
            "optimizer state": (
                value
                for player in self.players.values()
                for state in player.optimizer.state.values()
                for value in state.values()
                if isinstance(value, Tensor)
            ),
        }
        return next((name for name, values in parts.items() if not are_finite(values)), "")

    @contextmanager
    def sampling(self) -> Iterator[Model]:
        """Within it, the model has its averaged weights, is in eval mode and builds no graph."""
        self.model.eval()
        try:
            with torch.no_grad(), self.average.applied():
                yield self.model
        finally:
            self.model.train()

    def state_dict(self) -> dict[str, Any]:
        """The run's whole state."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "averages": self.average.state_dict(),
            "optimizers": {n: p.optimizer.state_dict() for n, p in self.players.items()},
            "window": self.window.state_dict(),
            "looked": self.looked == self.step,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resume from `state_dict`, exactly."""
        if self.graphs is not None:
            self.graphs.forget()  # they use the optimizers' state at its place in memory
        self.step = state["step"]
        self.drawn = batches_before(self._phases, self.step)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["averages"])
        for name, player in self.players.items():
            player.load_state(state["optimizers"][name])
        self.window.load_state_dict(state["window"], self.model.device)
        self.looked = self.step if state.get("looked") else -1


def are_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether no entry of a floating-point tensor is NaN or infinite."""
    floating = [t.detach() for t in tensors if t.is_floating_point() and t.numel()]
    # The largest absolute value: squares of finite numbers may overflow.
    return bool(nn.utils.get_total_norm(floating, math.inf).isfinite())


def batches_per_step(phases: list[Phase]) -> Iterator[int]:
    """The number of batches of each step, from step 0: the largest number of any player."""
    step = 0
    while True:
        used = Counter(phase.player for phase in updates(phases, step))
        yield max(used.values(), default=0)
        step += 1


def changes(phases: list[Phase], total: int) -> list[int]:
    """The steps below `total`, in order, at which phases begin or end."""
    steps = {step for phase in phases for step in (phase.start, phase.stop) if step is not None}
    return sorted(step for step in steps if 0 < step < total)


def cycle(phases: list[Phase]) -> tuple[int, int]:
    """The step from which the numbers of batches repeat, and the steps after which they do."""
    own = [phase for phase in phases if not phase.follows]
    begin = max((max(phase.start, phase.stop or 0) for phase in phases), default=0)
    length = math.lcm(*(phase.every for phase in own))
    periods = [length]
    for phase in phases:
        if phase.follows:  # counts a player's updates, which need not divide by its `every`
            lasting = [p for p in own if p.player == phase.follows and p.stop is None]
            made = sum(p.repeat * (length // p.every) for p in lasting)
            periods.append(length * (phase.every // math.gcd(phase.every, made)))
    return begin, math.lcm(*periods)


def batches_before(phases: list[Phase], step: int) -> int:
    """The number of batches that a run has used before `step`."""
    begin, period = cycle(phases)
    if step <= begin + period:
        return sum(islice(batches_per_step(phases), step))
    counts = list(islice(batches_per_step(phases), begin + period))
    whole, rest = divmod(step - begin, period)
    return sum(counts[:begin]) + whole * sum(counts[begin:]) + sum(counts[begin : begin + rest])


def steps_for(phases: list[Phase], batches: float) -> int:
    """The first step before which a run has used so many batches."""
    begin, period = cycle(phases)
    seen = before = 0
    for step, used in enumerate(islice(batches_per_step(phases), begin + period)):
        if seen >= batches:
            return step
        before = seen if step == begin else before
        seen += used
    whole = int((batches - seen) // (seen - before))  # further periods
    step, seen = begin + period * (1 + whole), seen + whole * (seen - before)
    for used in islice(batches_per_step(phases), begin, begin + period):
        if seen >= batches:
            break
        step, seen = step + 1, seen + used
    return step


def gradient_norms(model: Model, phase: Phase) -> dict[str, Tensor]:
    """The norm of the gradient of each network that the phase trains."""
    gradients = {
        name: [p.grad for p in child.parameters() if p.grad is not None]
        for name, child in model.named_children()
        if any(child is module for module in phase.trains)
    }
    return {f"gradient_norm/{n}": nn.utils.get_total_norm(g) for n, g in gradients.items() if g}


def weight_norms(model: Model) -> dict[str, Tensor]:
    """The norm of each network's weights."""
    return {
        f"weight_norm/{name}": nn.utils.get_total_norm([p.detach() for p in child.parameters()])
        for name, child in model.named_children()
        if any(True for _ in child.parameters())
    }
