"""One optimizer for the weights of all members."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from torch import Tensor, nn, optim
from torch.optim import Optimizer

from gan_cli.training.optimizers import Player
from gan_cli.training.stacked.tensors import Stack
from gan_cli.training.without_dynamo import without_dynamo

# What they do to a number depends on that number, its gradients and the step alone.
ELEMENTWISE: tuple[type[Optimizer], ...] = (
    *(optim.SGD, optim.Adam, optim.AdamW, optim.Adamax, optim.NAdam, optim.RAdam),
    *(optim.RMSprop, optim.Adagrad, optim.Adadelta, optim.Rprop, optim.ASGD),
)


def elementwise(optimizer: Optimizer) -> bool:
    """Whether an optimizer treats each number by itself, so that stacking changes nothing."""
    return any(type(optimizer) in (kind, without_dynamo(kind)) for kind in ELEMENTWISE)


class Update:
    """A player's optimizer over the stack; the members' own see its state as views.

    Args:
        players: the members' players of one name.
        stack: of their weights.
    """

    def __init__(self, players: Sequence[Player], stack: Stack) -> None:
        self.players, lead = players, players[0]
        self.parameters = [stack.of(parameter) for parameter in lead.parameters]
        self.optimizer = alike(lead.optimizer, self.parameters)
        self._linked: set[int] = set()
        for place, whole in enumerate(self.parameters):
            self._take_up(place, whole)

    def _take_up(self, place: int, whole: Tensor) -> None:
        """Go on from the members' own states, where they have any."""
        states = [p.optimizer.state.get(p.parameters[place]) for p in self.players]
        if not states[0]:
            return
        joined = self.optimizer.state[whole]
        for key, value in states[0].items():
            spread = isinstance(value, Tensor) and value.shape == whole.shape[1:]
            # What is no larger than a number, such as the count of steps, is the same for all.
            joined[key] = torch.stack([s[key] for s in states if s]) if spread else value

    def step(self, rate_of_step: int) -> None:
        """Clip each member's gradient where that is asked for, and update."""
        lead = self.players[0]
        if lead.clip_norm is not None:
            clip(self.parameters, lead.clip_norm)
        for player in self.players:  # losses may read their own optimizer's rate
            player.set_rate(rate_of_step)
        rate = lead.learning_rate(rate_of_step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        if len(self._linked) < len(self.optimizer.state):
            self._link()

    def _link(self) -> None:
        """Let the members' own optimizers have views of new state."""
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


def alike(optimizer: Optimizer, parameters: list[Tensor]) -> Optimizer:
    """An optimizer of the same kind and settings for other parameters."""
    takes = inspect.signature(type(optimizer)).parameters
    settings = {key: v for key, v in optimizer.defaults.items() if key in takes}
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
