"""Steps of an optimizer as differentiable functions of the weights that they start from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Weights = dict[str, Tensor]  # the parameters of a network, by name
Moments = tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]  # steps so far; of each parameter


class Descent(nn.Module, ABC):
    """A way down that gradients can flow back up.

    Whatever it remembers of the true updates is in buffers and so part of a run's state.

    Args:
        rate: the learning rate.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def record(self, network: nn.Module) -> None:
        """Take in the gradients of the true update that `network` has just made."""
        return

    @abstractmethod
    def start(self) -> Any:
        """What the first of a series of steps needs to know."""

    @abstractmethod
    def step(self, weights: Weights, gradients: Weights, state: Any) -> tuple[Weights, Any]:
        """The weights after one step down the gradients, and what the next needs to know."""

    def descend(self, weights: Weights, loss: Callable[[Weights], Tensor], steps: int) -> Weights:
        """The weights after some steps down `loss` (Metz et al. 2017, Eq. 8).

        They are a differentiable function of all that the loss depends on.

        Args:
            weights: where the steps begin; themselves constants.
            loss: a scalar on weights.
            steps: how many; after 0 of them, these are the very weights.
        """
        if not steps:
            return weights
        weights = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
        state = self.start()
        for _ in range(steps):
            values = torch.autograd.grad(loss(weights), list(weights.values()), create_graph=True)
            weights, state = self.step(weights, dict(zip(weights, values, strict=True)), state)
        return weights


class GradientDescent(Descent):
    """theta <- theta - rate * gradient."""

    def start(self) -> None:
        return

    def step(self, weights: Weights, gradients: Weights, state: Any) -> tuple[Weights, None]:
        return {n: weight - self.rate * gradients[n] for n, weight in weights.items()}, None


class AdamDescent(Descent):
    """Adam (Kingma and Ba 2015, Algorithm 1) from the moments of the true updates so far.

    The authors of unrolled GANs start from the moments of the discriminator's own optimizer. A
    model knows no optimizer, so the same moments are kept here. From moments of 0 the first step
    would be the gradient's sign, through which next to nothing flows back.

    Args:
        network: whose weights are to be moved.
        rate: the learning rate.
        betas: of the running means of the gradient and of its square.
    """

    EPSILON = 1e-8
    count: Tensor

    def __init__(self, network: nn.Module, rate: float, betas: tuple[float, float]) -> None:
        super().__init__(rate)
        self.betas = betas
        self.names = [name for name, _ in network.named_parameters()]
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        for place, parameter in enumerate(network.parameters()):
            self.register_buffer(f"mean_{place}", torch.zeros_like(parameter))
            self.register_buffer(f"square_{place}", torch.zeros_like(parameter))

    @torch.no_grad()
    def record(self, network: nn.Module) -> None:
        self.count += 1
        for place, parameter in enumerate(network.parameters()):
            if parameter.grad is not None:
                mean, square = self._moments(place)
                mean.lerp_(parameter.grad, 1 - self.betas[0])
                square.lerp_(parameter.grad.square(), 1 - self.betas[1])

    def start(self) -> Moments:
        return self.count, {name: self._moments(i) for i, name in enumerate(self.names)}

    def step(self, weights: Weights, gradients: Weights, state: Any) -> tuple[Weights, Moments]:
        (count, before), moments = state, {}
        count = count + 1
        fade = [1 - beta**count for beta in self.betas]
        moved = {}
        for name, weight in weights.items():
            mean, square = moments[name] = (
                torch.lerp(before[name][0], gradients[name], 1 - self.betas[0]),
                torch.lerp(before[name][1], gradients[name].square(), 1 - self.betas[1]),
            )
            # The root's slope is infinite at 0, where units that are dead would give NaN.
            root = (square / fade[1] + self.EPSILON**2).sqrt()
            moved[name] = weight - self.rate * mean / fade[0] / (root + self.EPSILON)
        return moved, (count, moments)

    def _moments(self, place: int) -> tuple[Tensor, Tensor]:
        return self.get_buffer(f"mean_{place}"), self.get_buffer(f"square_{place}")
