"""Steps of an optimizer as differentiable functions of the weights that they start from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Weights = dict[str, Tensor]  # the parameters of a network, by name
Moments = tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]  # steps so far; of each parameter


class Descent(nn.Module, ABC):
    """A way down that gradients can flow back up.

    Whatever it remembers of the true updates is in buffers and so part of a run's state.

    Args:
        rate: the learning rate; None: at each step that of the optimizer that it follows.
    """

    kind: type[Optimizer]  # of the optimizers that it can follow
    foreign: tuple[str, ...]  # their settings that it cannot

    def __init__(self, rate: float | None) -> None:
        super().__init__()
        self._rate = rate
        self._followed: Optimizer | None = None

    def follow(self, optimizer: Optimizer) -> None:
        """Take the settings that were not given from this optimizer, as they are at each step.

        Raises:
            ValueError: it makes other steps.
        """
        if not isinstance(optimizer, self.kind):
            raise ValueError(f"is no {self.kind.__name__} but {type(optimizer).__name__}")
        for group in optimizer.param_groups:
            for name in self.foreign:
                if group.get(name):
                    raise ValueError(f"has {name} = {group[name]}")
        self._followed = optimizer

    @property
    def settings(self) -> Mapping[str, Any]:
        """Those of the optimizer that it follows; empty where it follows none."""
        return {} if self._followed is None else self._followed.param_groups[0]

    @property
    def rate(self) -> float | Tensor:
        """The learning rate of now."""
        return self.settings["lr"] if self._rate is None else self._rate

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

    kind = torch.optim.SGD
    foreign = ("momentum", "weight_decay", "maximize")

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
        rate: the learning rate; None: that of the optimizer that it follows.
        betas: of the running means of the gradient and of its square; None: the same.
    """

    kind = torch.optim.Adam
    foreign = ("weight_decay", "amsgrad", "maximize")
    EPSILON = 1e-8
    count: Tensor

    def __init__(
        self,
        network: nn.Module,
        rate: float | None = None,
        betas: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(rate)
        self._betas = betas
        self.names = [name for name, _ in network.named_parameters()]
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        for place, parameter in enumerate(network.parameters()):
            self.register_buffer(f"mean_{place}", torch.zeros_like(parameter))
            self.register_buffer(f"square_{place}", torch.zeros_like(parameter))

    @property
    def betas(self) -> tuple[float, float]:
        """Those of now."""
        return self.settings["betas"] if self._betas is None else self._betas

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
        count, epsilon = count + 1, self.settings.get("eps", self.EPSILON)
        fade = [1 - beta**count for beta in self.betas]
        moved = {}
        for name, weight in weights.items():
            mean, square = moments[name] = (
                torch.lerp(before[name][0], gradients[name], 1 - self.betas[0]),
                torch.lerp(before[name][1], gradients[name].square(), 1 - self.betas[1]),
            )
            # The root's slope is infinite at 0, where units that are dead would give NaN.
            root = (square / fade[1] + self.EPSILON**2).sqrt()
            moved[name] = weight - self.rate * mean / fade[0] / (root + epsilon)
        return moved, (count, moments)

    def _moments(self, place: int) -> tuple[Tensor, Tensor]:
        return self.get_buffer(f"mean_{place}"), self.get_buffer(f"square_{place}")
