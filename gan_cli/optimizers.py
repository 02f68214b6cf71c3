"""Optimizers for games."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class OptimisticAdam(Optimizer):
    """Adam that steps by twice the present direction less the last one (Daskalakis et al. 2018).

    w <- w - lr (2 d_t - d_(t-1)), where d = m / (v^(1/2) + eps) is Adam's direction with the bias
    of m and v corrected (Algorithm 1 there). In a bilinear game, where gradient descent circles
    outwards, it converges.

    Args:
        params: as of any optimizer.
        lr: the learning rate.
        betas: of the running means of the gradient and its square.
        eps: added to the root.
        weight_decay: added to the gradient, times the parameter.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 2e-4,
        betas: tuple[float, float] = (0.5, 0.9),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        if lr < 0 or eps < 0 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"lr = {lr:g}, eps = {eps:g}, betas = {list(betas)}: out of range")
        defaults = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Move all parameters that have a gradient."""
        if closure is not None:
            raise ValueError("adversarial training offers no closure")
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradient = parameter.grad
                if group["weight_decay"]:
                    gradient = gradient.add(parameter, alpha=group["weight_decay"])
                state = self.state[parameter]
                if not state:
                    state["step"] = torch.zeros((), dtype=torch.float32)
                    for name in ("exp_avg", "exp_avg_sq", "direction"):
                        state[name] = torch.zeros_like(parameter)
                state["step"] += 1
                step = float(state["step"])
                state["exp_avg"].lerp_(gradient, 1 - beta1)
                state["exp_avg_sq"].lerp_(gradient.square(), 1 - beta2)
                mean = state["exp_avg"] / (1 - beta1**step)
                square = state["exp_avg_sq"] / (1 - beta2**step)
                direction = mean / (square.sqrt() + group["eps"])
                parameter.sub_(group["lr"] * (2 * direction - state["direction"]))
                state["direction"].copy_(direction)
