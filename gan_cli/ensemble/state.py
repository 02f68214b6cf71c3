"""Stacked weights, optimizer states, running means and batches of several members."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.optim import Optimizer

from gan_cli.ensemble.vmap import StackedBatch
from gan_cli.model import Batch, Loss, Model
from gan_cli.optimizers import substitute
from gan_cli.training.optimizers import PlayerOptimizer
from gan_cli.training.running_means import RunningMeans, precise
from gan_cli.training.setup import Session
from gan_cli.training.trainer import Trainer


class Stack:
    """The parameters, buffers and averaged weights of the members, each [members, ...].

    The members' own tensors become views of these: sampling, evaluating and saving a member need
    no copy, and a change of its weights changes the stack.

    Args:
        trainers: of the members, whose models are alike.
    """

    def __init__(self, trainers: Sequence[Trainer]) -> None:
        lead, tables = trainers[0], [owned(trainer.model) for trainer in trainers]
        self._of: dict[int, Tensor] = {}  # by the id of the first member's own
        self.tensors = {
            f"model.{name}": self._join([table[name] for table in tables]) for name in tables[0]
        }
        self.buffers = [self.of(buffer) for buffer in lead.model.buffers()]
        averaged = list(lead.average.values)
        self._averages = [join([t.average.values[name] for t in trainers]) for name in averaged]
        self._weights = [self.of(lead.average.weights[name]) for name in averaged]
        self._pairs = [(p, self.of(p)) for p in lead.model.parameters()]

    def _join(self, own: Sequence[Tensor]) -> Tensor:
        whole = join(own)
        if isinstance(own[0], nn.Parameter):
            whole = nn.Parameter(whole, requires_grad=own[0].requires_grad)
        self._of[id(own[0])] = whole
        return whole

    def of(self, own: Tensor) -> Tensor:
        """The stacked tensor that the first member's `own` is a view of."""
        return self._of[id(own)]

    def follow_freezer(self) -> None:
        """Freeze what is frozen in the first member's model, and unfreeze the rest."""
        for own, whole in self._pairs:
            if whole.requires_grad is not own.requires_grad:
                whole.requires_grad_(own.requires_grad)

    def average(self, trainer: Trainer) -> None:
        """Update all members' averages, after the steps of `trainer`."""
        trainer.average.merge(self._averages, self._weights, trainer.step)


def owned(model: Model) -> dict[str, Tensor]:
    """A model's parameters and buffers by name."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def join(own: Sequence[Tensor]) -> Tensor:
    """Stack the members' tensors, [members, ...]; they become views of the stack."""
    whole = torch.stack([tensor.data for tensor in own])
    for tensor, row in zip(own, whole, strict=True):
        tensor.data = row
    return whole


def release(trainer: Trainer) -> None:
    """Give a member its own copies of its tensors."""
    for tensor in (*owned(trainer.model).values(), *trainer.average.values.values()):
        tensor.data = tensor.data.clone()
    for player in trainer.players.values():
        for state in player.optimizer.state.values():
            state.update({k: v.clone() for k, v in state.items() if isinstance(v, Tensor)})
        player.place_step_counters()


# Their update of a number depends on that number, its gradients and the step alone.
ELEMENTWISE: tuple[type[Optimizer], ...] = (
    *(optim.SGD, optim.Adam, optim.AdamW, optim.Adamax, optim.NAdam, optim.RAdam),
    *(optim.RMSprop, optim.Adagrad, optim.Adadelta, optim.Rprop, optim.ASGD),
)


def elementwise(optimizer: Optimizer) -> bool:
    """Whether an optimizer treats each number alone, so that stacking changes nothing."""
    return any(type(optimizer) in (kind, substitute(kind)) for kind in ELEMENTWISE)


class Update:
    """A player's optimizer over the stack; the members' own optimizers hold views of its state.

    Args:
        players: the members' players of one name.
        stack: of their weights.
    """

    def __init__(self, players: Sequence[PlayerOptimizer], stack: Stack) -> None:
        self.players, lead = players, players[0]
        self.parameters = [stack.of(parameter) for parameter in lead.parameters]
        self.optimizer = copy_for(lead.optimizer, self.parameters)
        self._linked: set[int] = set()
        for place, whole in enumerate(self.parameters):
            self._adopt(place, whole)

    def _adopt(self, place: int, whole: Tensor) -> None:
        """Start from the members' own optimizer states, if any."""
        states = [p.optimizer.state.get(p.parameters[place]) for p in self.players]
        if not states[0]:
            return
        joined = self.optimizer.state[whole]
        for key, value in states[0].items():
            spread = isinstance(value, Tensor) and value.shape == whole.shape[1:]
            # A single number, such as the count of steps, is the same for all.
            joined[key] = torch.stack([s[key] for s in states if s]) if spread else value

    def step(self, step: int) -> None:
        """Clip each member's gradient, if configured, and update at the rate of `step`."""
        lead = self.players[0]
        if lead.clip_norm is not None:
            clip(self.parameters, lead.clip_norm)
        for player in self.players:  # losses may read their own optimizer's rate
            player.set_rate(step)
        rate = lead.learning_rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        if len(self._linked) < len(self.optimizer.state):
            self._link()

    def _link(self) -> None:
        """Give the members' own optimizers views of new state."""
        for place, whole in enumerate(self.parameters):
            state = self.optimizer.state.get(whole)
            if not state or id(whole) in self._linked:
                continue
            self._linked.add(id(whole))
            for row, player in enumerate(self.players):
                player.optimizer.state[player.parameters[place]] = {
                    key: value[row]
                    if isinstance(value, Tensor) and value.shape == whole.shape
                    else value
                    for key, value in state.items()
                }


def copy_for(optimizer: Optimizer, parameters: list[Tensor]) -> Optimizer:
    """An optimizer of the same kind and settings for other parameters."""
    accepted = inspect.signature(type(optimizer)).parameters
    settings = {key: v for key, v in optimizer.defaults.items() if key in accepted}
    return type(optimizer)(parameters, **settings)  # type: ignore[call-arg]


def norms(gradients: Sequence[Tensor]) -> Tensor:
    """The norm of each member's gradient, [members], of tables [members, ...]."""
    each = [torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients]
    return torch.linalg.vector_norm(torch.stack(each), dim=0)


@torch.no_grad()
def clip(parameters: Sequence[nn.Parameter | Tensor], largest: float) -> None:
    """Scale down each member's gradient whose norm exceeds `largest`, as `clip_grad_norm_`."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    factor = (largest / (norms(gradients) + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor.view(-1, *[1] * (gradient.dim() - 1)))


CPU = torch.device("cpu")
State = dict[str, dict[str, Any]]  # of RunningMeans


class StackedMeans:
    """Running sums of the scalars of phases, one row for each member.

    All members clear their rows between the same two steps.

    Args:
        windows: of the members so far, with sums of the same names.
    """

    def __init__(self, windows: Sequence[RunningMeans]) -> None:
        self.rows = [MemberMeans(self, place) for place in range(len(windows))]
        self.clear()
        states: list[State] = [dict(window.state_dict()) for window in windows]
        for text, entry in states[0].items():
            self._sums[text] = torch.stack([state[text]["sum"] for state in states])
            self._counts[text] = entry["count"]
        for name in windows[0].outputs:
            self.outputs[name] = torch.stack([window.outputs[name] for window in windows])

    def add(self, phase: str, loss: Loss, norms: Mapping[str, Tensor]) -> None:
        """Add one update of a phase; its scalars and the norms are [members]."""
        if self.rows[0].cleared:
            assert all(row.cleared for row in self.rows), "members log at the same steps"
            self.clear()
        text = "\n".join((f"loss/{phase}", *loss.logs))
        values = torch.stack([loss.total.detach(), *(v.detach() for v in loss.logs.values())], 1)
        if text in self._sums:
            self._sums[text] += values
            self._counts[text] += 1
        else:
            self._sums[text], self._counts[text] = values.to(precise(values.device)), 1
        self.outputs.update({name: table.detach() for name, table in loss.outputs.items()})
        self.norms.update(norms)
        self._read = None

    def clear(self) -> None:
        """Start the next window of the curves."""
        self._sums: dict[str, Tensor] = {}  # [members, scalars], by their names
        self._counts: dict[str, int] = {}
        self.outputs: dict[str, Tensor] = {}
        self.norms: dict[str, Tensor] = {}
        self._read: dict[str, Tensor] | None = None
        for row in self.rows:
            row.cleared = False

    def state(self, place: int, on_cpu: bool = False) -> State:
        """A member's sums; those on the CPU are read once for all members."""
        if on_cpu and self._read is None:
            self._read = {text: values.to(CPU) for text, values in self._sums.items()}
        sums = self._read if on_cpu and self._read is not None else self._sums
        return {
            text: {"sum": values[place].clone(), "count": self._counts[text]}
            for text, values in sums.items()
        }


class MemberMeans(RunningMeans):
    """A member's window: a row of the stacked means."""

    def __init__(self, stacked: StackedMeans, place: int) -> None:
        super().__init__()
        self._stacked, self._place = stacked, place
        self.cleared = False

    @property
    def outputs(self) -> dict[str, Tensor]:
        return self._mine(self._stacked.outputs)

    @property
    def norms(self) -> dict[str, Tensor]:
        return self._mine(self._stacked.norms)

    def _mine(self, tables: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {} if self.cleared else {name: t[self._place] for name, t in tables.items()}

    def means(self) -> dict[str, float]:
        window = RunningMeans()
        window.load_state_dict(self._state(on_cpu=True), CPU)
        return window.means()

    def clear(self) -> None:
        self.cleared = True

    def state_dict(self) -> State:
        return self._state()

    def _state(self, on_cpu: bool = False) -> State:
        return {} if self.cleared else self._stacked.state(self._place, on_cpu)

    def plain(self, device: torch.device) -> RunningMeans:
        """A separate window with the same sums."""
        window = RunningMeans()
        window.load_state_dict(self.state_dict(), device)
        return window


class Batches:
    """Batch k of every member.

    Args:
        sessions: of the members, which share a data set.
    """

    def __init__(self, sessions: Sequence[Session]) -> None:
        self._streams = [session.stream for session in sessions]
        self._dataset = sessions[0].dataset

    def stacked(self, k: int, step: int) -> StackedBatch:
        """Batch `k` of every member, [members, batch, ...], for `step`."""
        batches = [stream.batch(k) for stream in self._streams]
        index = torch.stack([batch.index for batch in batches])
        if self._dataset.resident:
            flat = self._dataset.real(index.flatten())
            real = flat.view(*index.shape, *flat.shape[1:])
        else:  # each stream gathers from host memory
            real = torch.stack([batch.real for batch in batches])
        labels = self._dataset.labels(index.flatten())
        return StackedBatch(
            index, real, None if labels is None else labels.view_as(index), {}, step
        )

    def one(self, batch: StackedBatch, member: int) -> Batch:
        """A member's own batch."""

        def row(table: Tensor | None) -> Tensor | None:
            return None if table is None else table[member]

        real = batch.real
        assert real is not None, "stacked batches hold their samples"
        own = Batch(batch.index[member], lambda _: real[member], lambda _: row(batch.labels))
        own.step = batch.step
        own.kept = {name: value[member] for name, value in batch.kept.items()}
        return own
