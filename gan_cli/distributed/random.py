"""Random numbers of a shared step: each rank's part of those that one process would draw.

All ranks have the same random stream. A tensor whose first dimension counts samples or packs is
drawn for the samples of all ranks, and each rank takes its rows; a tensor with another first
dimension is one draw for the whole batch, the same on all ranks.

Supported are torch.rand, randn and randint with their `_like` forms, torch.normal, bernoulli and
multinomial, the methods of tensors that fill them (normal_, uniform_, bernoulli_, exponential_,
geometric_, log_normal_, cauchy_, random_), and dropout. Other random functions raise an error.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gan_cli.distributed.collectives import dense
from gan_cli.errors import ConfigError

log = logging.getLogger(__name__)
SIZED = {"rand", "randn", "randint"}
LIKE = {"rand_like", "randn_like", "randint_like"}
FILLED = {
    *("normal_", "uniform_", "bernoulli_", "exponential_", "geometric_"),
    *("log_normal_", "cauchy_", "random_"),
}
# Functions of tensors; their results are aligned with the rows of their arguments.
ROWWISE = {"normal", "bernoulli", "multinomial", "dropout"}
# These draw without being operators of torch.
DROPOUTS = {
    *("dropout", "dropout1d", "dropout2d", "dropout3d"),
    *("alpha_dropout", "feature_alpha_dropout"),
}
COMPOSED = (DROPOUTS - ROWWISE) | {
    *("gumbel_softmax", "multi_head_attention_forward"),
    *("fractional_max_pool2d", "fractional_max_pool2d_with_indices"),
    *("fractional_max_pool3d", "fractional_max_pool3d_with_indices"),
}


@cache
def draws(name: str) -> bool:
    """Whether torch's function of that name uses the random stream."""
    if name in COMPOSED:
        return True
    operator = getattr(torch.ops.aten, name, None)
    return isinstance(operator, torch._ops.OpOverloadPacket) and any(
        torch.Tag.nondeterministic_seeded in getattr(operator, kind).tags
        for kind in operator.overloads()
    )


def idle(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Whether a random function draws nothing: dropouts outside training, and attention."""
    if name in DROPOUTS:
        training = args[2] if len(args) > 2 else kwargs.get("training", True)
        return not training or not (args[1] if len(args) > 1 else kwargs.get("p", 0.5))
    if name == "scaled_dot_product_attention":
        return not (args[4] if len(args) > 4 else kwargs.get("dropout_p", 0.0))
    return False


class SharedDraws(TorchFunctionMode):
    """Within it, a rank draws its part of the numbers of one process with the whole batch.

    Args:
        rank: of this process, below `count`.
        count: of ranks.
        sizes: first dimensions of tensors drawn for each sample, or pack, of this rank.
    """

    def __init__(self, rank: int, count: int, sizes: frozenset[int]) -> None:
        super().__init__()
        self.rank, self.count, self.sizes = rank, count, sizes
        self._said: set[str] = set()
        self._ways: dict[object, Callable[..., Any] | None] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in self._ways:
            self._ways[func] = self._way(getattr(func, "__name__", ""))
        way = self._ways[func]
        return func(*args, **kwargs) if way is None else way(func, args, kwargs)

    def _way(self, name: str) -> Callable[..., Any] | None:
        if name in SIZED:
            return lambda func, args, kwargs: self._sized(name, func, list(args), dict(kwargs))
        if name in LIKE:
            return lambda func, args, kwargs: self._like(name, func, args, kwargs)
        if name in FILLED:
            return lambda func, args, kwargs: self._filled(name, func, args, kwargs)
        if name in ROWWISE:
            return lambda func, args, kwargs: self._rowwise(name, func, args, dict(kwargs))
        if draws(name):
            return lambda func, args, kwargs: self._refused(name, func, args, kwargs)
        return None

    def _sized(self, name: str, func: Any, args: list[Any], kwargs: dict[str, Any]) -> Tensor:
        if "size" in kwargs:
            kwargs["size"], cut = self._whole(name, kwargs["size"])
        elif name == "randint":  # randint(high, size) or randint(low, high, size)
            args[-1], cut = self._whole(name, args[-1])
        else:
            size = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
            whole, cut = self._whole(name, size)
            args = [whole]
        drawn = func(*args, **kwargs)
        return self._part(drawn) if cut else drawn

    def _like(self, name: str, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
        x, *rest = args
        if not self._is_shared(name, x.shape):
            return func(*args, **kwargs)
        return self._part(func(self._enlarged(x), *rest, **kwargs))

    def _filled(self, name: str, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
        x, *rest = args
        if not self._is_shared(name, x.shape):
            return func(*args, **kwargs)
        rest = [self._rows(value, len(x)) for value in rest]
        kwargs = {key: self._rows(value, len(x)) for key, value in kwargs.items()}
        with torch.no_grad():
            x.copy_(self._part(func(self._enlarged(x), *rest, **kwargs)))
        return x

    def _rowwise(self, name: str, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
        if idle(name, args, kwargs):
            return func(*args, **kwargs)
        if name == "normal" and len(args) > 2:  # torch.normal(mean, deviation, size)
            args, kwargs = args[:2], {**kwargs, "size": args[2]}
        if kwargs.get("size") is not None:
            kwargs["size"], cut = self._whole(name, kwargs["size"])
            drawn = func(*args, **kwargs)
            return self._part(drawn) if cut else drawn
        values = [v for v in (*args, *kwargs.values()) if isinstance(v, Tensor)]
        shape = torch.broadcast_shapes(*(v.shape for v in values))
        if not self._is_shared(name, shape):
            return func(*args, **kwargs)
        if kwargs.pop("inplace", False) or (name == "dropout" and len(args) > 3 and args[3]):
            args = args[:3]  # a copy is what the rows are drawn for
        args = [self._rows(value, shape[0]) for value in args]
        kwargs = {key: self._rows(value, shape[0]) for key, value in kwargs.items()}
        return self._part(func(*args, **kwargs))

    def _refused(self, name: str, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        if idle(name, args, kwargs):
            return func(*args, **kwargs)
        raise ConfigError(
            f"torch's {name} in a step: it is not known how the parts of a batch would share "
            "what it draws; train on one device with accumulate=1, or draw with torch.rand, "
            "randn or randint"
        )

    def _whole(self, name: str, size: Any) -> tuple[tuple[int, ...], bool]:
        """The size for all ranks, and whether it differs."""
        size = tuple(size)
        if not self._is_shared(name, size):
            return size, False
        return (self.count * size[0], *size[1:]), True

    def _is_shared(self, name: str, size: Sequence[int]) -> bool:
        if size and size[0] in self.sizes:
            return True
        if size and size[0] > 1:
            shape = "x".join(map(str, size))
            if f"{name} {shape}" not in self._said:
                self._said.add(f"{name} {shape}")
                log.warning(
                    f"torch's {name} draws {shape} numbers in a step, the same for all parts of a "
                    f"batch; what is drawn for each sample has {max(self.sizes)} as its first size"
                )
        return False

    def _part(self, drawn: Tensor) -> Tensor:
        own = len(drawn) // self.count
        return drawn[self.rank * own : (self.rank + 1) * own]

    def _enlarged(self, x: Tensor) -> Tensor:
        """An empty tensor like `x` for all ranks; torch draws in memory order."""
        shape = (self.count * len(x), *x.shape[1:])
        outer = x.stride(0) == max(x.stride())
        if dense(x) and outer:
            return torch.empty_strided(shape, x.stride(), dtype=x.dtype, device=x.device)
        return x.new_empty(shape)

    def _rows(self, value: Any, n: int) -> Any:
        """An argument for the rows of all ranks; other ranks' rows may have any value."""
        if not isinstance(value, Tensor) or value.dim() == 0 or len(value) != n:
            return value
        return value.repeat(self.count, *[1] * (value.dim() - 1))
