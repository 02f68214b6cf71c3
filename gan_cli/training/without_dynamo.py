"""Optimizers that leave torch.compile's machinery (`torch._dynamo`) out of the process.

torch wraps some methods of its optimizers so that a compiler passes them over, and the wrappers
import the compiler, which takes as long as all the rest of a start. Nothing here compiles an
optimizer, so a subclass gets the methods themselves. torch's own classes stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.optim import Optimizer

NOT_COMPILED = "_disable_dynamo.<locals>.inner"
GRADIENTS = "_use_grad_for_differentiable.<locals>._use_grad"
PROFILED = "Optimizer.profile_hook_step.<locals>.wrapper"
METHODS = ("add_param_group", "state_dict", "load_state_dict", "zero_grad")


@cache
def without_dynamo(kind: type[Optimizer]) -> type[Any]:
    """`kind` or, where it is one of torch's and wrapped as known here, an equal subclass."""
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
    """What wraps a function, by its code's name; empty where nothing does."""
    code = getattr(function, "__code__", None)
    return code.co_qualname if code is not None and hasattr(function, "__wrapped__") else ""


def _without_gradients(inner: Callable[..., Any]) -> Callable[..., Any]:
    """The step of an optimizer, which builds a graph only if it is to be differentiable."""

    def step(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return inner(self, *args, **kwargs)

    return step
