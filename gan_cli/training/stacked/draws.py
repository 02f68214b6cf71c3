"""What torch draws at random: noted while one member computes a loss, made beforehand for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor
from torch.overrides import TorchFunctionMode

Fill = Callable[[Tensor, Generator], object]


class Draw(NamedTuple):
    """One call of a random function: what it gave, and how to have it again."""

    function: Callable[..., Tensor]
    fill: Fill
    size: tuple[int, ...]
    stride: tuple[int, ...]  # numbers are drawn in the order of memory
    dtype: torch.dtype
    device: torch.device


def normal(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Fill:
    """Standard normals."""
    return lambda out, generator: out.normal_(generator=generator)


def uniform(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Fill:
    """Uniform on [0, 1)."""
    return lambda out, generator: out.uniform_(generator=generator)


def integers(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Fill:
    """Whole numbers: randint([low,] high, size) and randint_like(x, [low,] high)."""
    bounds = [value for value in args if isinstance(value, int)]
    bounds += [kwargs[name] for name in ("low", "high") if name in kwargs]
    low, high = bounds if len(bounds) == 2 else (0, *bounds)
    return lambda out, generator: out.random_(low, high, generator=generator)


def permutation(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Fill:
    """The numbers 0 ... n-1 in any order."""
    return lambda out, generator: torch.randperm(len(out), generator=generator, out=out)


# Any other random function raises an error within `torch.vmap`.
FUNCTIONS: Mapping[Callable[..., Tensor], Callable[..., Fill]] = {
    torch.randn: normal,
    torch.randn_like: normal,
    torch.rand: uniform,
    torch.rand_like: uniform,
    torch.randint: integers,
    torch.randint_like: integers,
    torch.randperm: permutation,
}


class Noting(TorchFunctionMode):
    """Within it, the random functions of `FUNCTIONS` are noted as they are called."""

    def __init__(self) -> None:
        super().__init__()
        self.draws: list[Draw] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func in FUNCTIONS and kwargs.get("generator") is None:
            fill = FUNCTIONS[func](args, kwargs)
            shape = tuple(out.shape), out.stride()
            self.draws.append(Draw(func, fill, *shape, out.dtype, out.device))
        return out


class OtherDrawsError(Exception):
    """A loss draws other numbers than it was seen to draw before."""


class Tape:
    """Numbers drawn beforehand, handed out in their order.

    Args:
        draws: what they are.
        values: one for each, as the member that asks shall have it.
    """

    def __init__(self, draws: Sequence[Draw], values: Sequence[Tensor]) -> None:
        self._rest = list(zip(draws, values, strict=True))[::-1]

    def next(self, func: object, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
        """What the function would have drawn.

        Raises:
            OtherDrawsError: another function's turn, or another size's, had come.
        """
        if not self._rest:
            raise OtherDrawsError
        draw, value = self._rest.pop()
        if func is not draw.function or asked_size(func, args, kwargs) != draw.size:
            raise OtherDrawsError
        return value

    def finish(self) -> None:
        """See that all was asked for.

        Raises:
            OtherDrawsError: something is left.
        """
        if self._rest:
            raise OtherDrawsError


def asked_size(func: object, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape that a call of one of `FUNCTIONS` wants."""
    if func in (torch.randn_like, torch.rand_like, torch.randint_like):
        return tuple((args[0] if args else kwargs["input"]).shape)
    if func is torch.randperm:
        return (args[0] if args else kwargs["n"],)
    if func is torch.randint:
        sizes = [value for value in args if not isinstance(value, int)]
        return tuple(kwargs["size"] if "size" in kwargs else sizes[0])
    sizes = kwargs.get("size", args)
    flat = sizes[0] if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
    return tuple(flat)


class Streams:
    """The random streams of the members in one step, on every device that is asked for."""

    def __init__(self) -> None:
        self._seeds: Sequence[int] = ()
        self._generators: dict[torch.device, list[Generator]] = {}
        self._fresh: set[torch.device] = set()
        self._made: list[Draw] = []

    @property
    def made(self) -> int:
        """How many draws there were in this step."""
        return len(self._made)

    def begin(self, seeds: Sequence[int]) -> None:
        """Seed all of them anew, one for each member."""
        self._seeds, self._fresh, self._made = seeds, set(), []

    def rewind(self, made: int) -> None:
        """Go back to where there had been `made` draws in this step."""
        again = self._made[:made]
        self.begin(self._seeds)
        for draw in again:
            self.make(draw)

    def make(self, draw: Draw) -> Tensor:
        """The draw of each member, [members, *size]."""
        self._made.append(draw)
        members = len(self._seeds)
        room = 1 + sum((n - 1) * s for n, s in zip(draw.size, draw.stride, strict=True))
        out = torch.empty_strided(
            (members, *draw.size), (room, *draw.stride), dtype=draw.dtype, device=draw.device
        )
        for row, generator in zip(out, self._on(draw.device), strict=True):
            draw.fill(row, generator)
        return out

    def _on(self, device: torch.device) -> list[Generator]:
        have = self._generators.setdefault(device, [])
        while len(have) < len(self._seeds):
            have.append(Generator(device))
        del have[len(self._seeds) :]
        if device not in self._fresh:
            self._fresh.add(device)
            for generator, seed in zip(have, self._seeds, strict=True):
                generator.manual_seed(seed)
        return have
