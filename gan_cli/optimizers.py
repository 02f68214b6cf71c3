"""Optimizers for games, and torch's own without its compiler or faster."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.adam import adam


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


NOT_COMPILED = "_disable_dynamo.<locals>.inner"
GRADIENTS = "_use_grad_for_differentiable.<locals>._use_grad"
PROFILED = "Optimizer.profile_hook_step.<locals>.wrapper"
METHODS = ("add_param_group", "state_dict", "load_state_dict", "zero_grad")


@cache
def without_dynamo(kind: type[Optimizer]) -> type[Any]:
    """`kind`, or for torch's own an equal subclass whose methods do not import torch._dynamo."""
    if not kind.__module__.startswith("torch.optim."):
        return kind
    methods: dict[str, Any] = {}
    for name in METHODS:
        method = getattr(kind, name)
        if _wrapper(method) == NOT_COMPILED:
            methods[name] = method.__wrapped__
    step = getattr(kind, "step")  # noqa: B009 - where there is an optimizer already, a wrapper
    if _wrapper(step) == PROFILED:  # given to the subclass anew
        step = step.__wrapped__
    if _wrapper(step) == GRADIENTS:
        methods["step"] = _without_gradients(step.__wrapped__)
    return type(kind.__name__, (kind,), methods) if methods else kind


def _wrapper(function: Callable[..., Any]) -> str:
    """The name of the code that wraps a function; empty if none does."""
    code = getattr(function, "__code__", None)
    return code.co_qualname if code is not None and hasattr(function, "__wrapped__") else ""


def _without_gradients(inner: Callable[..., Any]) -> Callable[..., Any]:
    """The step of an optimizer, which builds a graph only if it is to be differentiable."""

    def step(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return inner(self, *args, **kwargs)

    return step


class RMSprop(without_dynamo(torch.optim.RMSprop)):  # type: ignore[misc]
    """torch's, on a CPU in one kernel: fused Adam's, without a mean and a bias to correct.

    torch has no fused RMSprop, and its own takes five passes over the weights.
    """

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient."""
        if closure is not None or not all(map(_is_plain, self.param_groups)):
            return super().step(closure)
        with torch.no_grad():
            for group in self.param_groups:
                weights: list[Tensor] = []
                gradients: list[Tensor] = []
                squares: list[Tensor] = []
                steps: list[Tensor] = []
                self._init_group(group, weights, gradients, squares, [], [], steps)
                for step in steps:
                    step += 1
                adam(
                    weights,
                    gradients,
                    gradients,  # with beta1 = 0 the mean is the gradient
                    squares,
                    [],
                    [torch.full((), torch.inf) for _ in steps],  # so many that no bias is left
                    fused=True,
                    amsgrad=False,
                    beta1=0.0,
                    beta2=group["alpha"],
                    lr=group["lr"],
                    weight_decay=0.0,
                    eps=group["eps"],
                    maximize=False,
                )
        return None


def _is_plain(group: dict[str, Any]) -> bool:
    """Whether fused Adam's kernel can compute the group's step."""
    others = ("momentum", "centered", "weight_decay", "maximize", "differentiable", "capturable")
    plain = group["alpha"] < 1 and not any(group[name] for name in others)
    return plain and all(
        parameter.device.type == "cpu" and parameter.dtype == torch.float32
        for parameter in group["params"]
    )


def substitute(kind: type[Optimizer]) -> type[Any]:
    """The class to build in place of `kind`: equal, and faster where there is one."""
    return RMSprop if kind is torch.optim.RMSprop else without_dynamo(kind)
