"""Historical averaging of a player's parameters (Salimans et al. 2016, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gan_cli.model import Loss


class History(nn.Module):
    """weight * |theta - mean of theta[1 .. t]|^2, where theta[i] are a network's past parameters.

    The means are buffers, so they are part of a run's state. The network itself is handed over at
    each call and belongs to the model.

    Args:
        network: whose parameters are looked back on; as they are now, they are theta[1].
        weight: of the term.
    """

    count: Tensor

    def __init__(self, network: nn.Module, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.register_buffer("count", torch.ones((), dtype=torch.int64))
        for place, parameter in enumerate(network.parameters()):
            self.register_buffer(f"mean_{place}", parameter.detach().clone())

    def forward(self, network: nn.Module) -> Tensor:
        """The term, a scalar; the means are constants in it."""
        distances = [(p - mean).square().sum() for p, mean in self._pairs(network)]
        return self.weight * torch.stack(distances).sum()

    @torch.no_grad()
    def record(self, network: nn.Module) -> None:
        """Take in the parameters after an update."""
        self.count += 1
        for parameter, mean in self._pairs(network):
            mean += (parameter - mean) / self.count

    def _pairs(self, network: nn.Module) -> list[tuple[Tensor, Tensor]]:
        means = (self.get_buffer(f"mean_{i}") for i in range(len(self._buffers) - 1))
        return list(zip(network.parameters(), means, strict=True))


def looking_back(game: Loss, player: str, network: nn.Module, history: History | None) -> Loss:
    """A player's loss with its historical averaging, where there is any."""
    if history is None:
        return game
    term = history(network)
    logs = {**game.logs, f"historical_averaging/{player}": term.detach()}
    return Loss(game.total + term, logs, game.outputs)
