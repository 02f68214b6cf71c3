"""A model's loss for all members at once: `torch.vmap` over weights, buffers, samples and noise.

Within vmap, random functions return numbers drawn beforehand. torch's `autograd.grad`, which vmap
lacks, is computed for all members at once: none depends on another, so the gradient of the sum of
their outputs is each one's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.functional import group_norm, layer_norm
from torch.overrides import TorchFunctionMode

from gan_cli.ensemble import functorch
from gan_cli.model import Batch, Loss

Fill = Callable[[Tensor, Generator], object]


class Draw(NamedTuple):
    """One call of a random function: the kind of its result, and how to repeat it."""

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


class DrawRecorder(TorchFunctionMode):
    """Within it, calls of the random functions in `FUNCTIONS` are recorded."""

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
    """A loss draws other numbers than those recorded."""


class DrawReplay:
    """Returns numbers drawn beforehand, in their order.

    Args:
        draws: the recorded calls.
        values: the member's result of each.
    """

    def __init__(self, draws: Sequence[Draw], values: Sequence[Tensor]) -> None:
        self._rest = list(zip(draws, values, strict=True))[::-1]

    def next(self, func: object, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
        """The result of the next call.

        Raises:
            OtherDrawsError: another function or size was recorded.
        """
        if not self._rest:
            raise OtherDrawsError
        draw, value = self._rest.pop()
        if func is not draw.function or requested_size(func, args, kwargs) != draw.size:
            raise OtherDrawsError
        return value

    def finish(self) -> None:
        """Check that all calls were made.

        Raises:
            OtherDrawsError: some were not.
        """
        if self._rest:
            raise OtherDrawsError


def requested_size(func: object, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape of the result of a call of one of `FUNCTIONS`."""
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
    """The random streams of the members in one step, on every device in use."""

    def __init__(self) -> None:
        self._seeds: Sequence[int] = ()
        self._generators: dict[torch.device, list[Generator]] = {}
        self._fresh: set[torch.device] = set()
        self._made: list[Draw] = []

    @property
    def made(self) -> int:
        """The number of draws in this step."""
        return len(self._made)

    def begin(self, seeds: Sequence[int]) -> None:
        """Seed the streams of all members."""
        self._seeds, self._fresh, self._made = seeds, set(), []

    def rewind(self, made: int) -> None:
        """Go back to the state after `made` draws of this step."""
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


GRADIENT = Tensor.grad.__get__  # type: ignore[attr-defined]
LEAF = Tensor.requires_grad_
# vmap would compute these one member after the other.
IN_PLACE = {Tensor.clamp_: torch.clamp, Tensor.lerp_: torch.lerp}


class VmapFunctions(TorchFunctionMode):
    """Within it, functions that vmap lacks work on all members.

    Args:
        replay: the results of random functions.
        level: of vmap.
    """

    def __init__(self, replay: DrawReplay, level: int) -> None:
        super().__init__()
        self.replay, self.level = replay, level

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        kwargs = kwargs or {}
        if func in FUNCTIONS and kwargs.get("generator") is None:
            return self.replay.next(func, args, kwargs)
        if func is torch.autograd.grad:
            return self._gradients(*args, **kwargs)
        if func in IN_PLACE and functorch.is_batchedtensor(args[0]):
            return args[0].copy_(IN_PLACE[func](*args, **kwargs))
        if func is group_norm:
            return grouped(*args, **kwargs)
        if func is LEAF and functorch.is_batchedtensor(args[0]):
            with functorch.temporarily_clear_interpreter_stack():
                LEAF(functorch.get_unwrapped(args[0]), *args[1:], **kwargs)
            return args[0]
        if func == GRADIENT and functorch.is_batchedtensor(args[0]):
            gradient = functorch.get_unwrapped(args[0]).grad
            return None if gradient is None else functorch.add_batch_dim(gradient, 0, self.level)
        return func(*args, **kwargs)

    def _gradients(
        self,
        outputs: Tensor | Sequence[Tensor],
        inputs: Tensor | Sequence[Tensor],
        grad_outputs: object = None,
        **kwargs: Any,
    ) -> tuple[Tensor | None, ...]:
        outputs = [outputs] if isinstance(outputs, Tensor) else outputs
        inputs = [inputs] if isinstance(inputs, Tensor) else inputs
        if grad_outputs is not None:
            raise NotImplementedError("torch.autograd.grad with grad_outputs cannot be stacked")
        with functorch.temporarily_clear_interpreter_stack():
            sums = [functorch.get_unwrapped(one).sum() for one in outputs]
            found = torch.autograd.grad(
                sums, [functorch.get_unwrapped(one) for one in inputs], **kwargs
            )
        return tuple(
            None
            if one is None
            else functorch.add_batch_dim(one, functorch.maybe_get_bdim(x), self.level)
            for one, x in zip(found, inputs, strict=True)
        )


def grouped(
    input: Tensor,  # noqa: A002 - torch's names
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """`group_norm` of [n, channels, ...]; torch's own asks for a memory format within vmap."""
    groups = input.reshape(len(input), num_groups, -1)
    shown = layer_norm(groups, groups.shape[2:], eps=eps).reshape(input.shape)
    for each, join in ((weight, torch.mul), (bias, torch.add)):
        if each is not None:
            shown = join(shown, each.view(-1, *[1] * (input.dim() - 2)))
    return shown


Tensors = dict[str, Tensor]


class TrackedBatch(Batch):
    """A batch that notes whether a loss reads its real samples."""

    def __init__(self, batch: Batch) -> None:
        super().__init__(batch.index, lambda index: batch.real, lambda index: batch.labels)
        self.step, self.kept = batch.step, dict(batch.kept)

    @property
    def wants_real(self) -> bool:
        """Whether the real samples were read."""
        return "real" in self.__dict__  # where a cached property keeps its value


@dataclass(frozen=True)
class StackedBatch:
    """A batch of every member, [members, ...]."""

    index: Tensor
    real: Tensor | None
    labels: Tensor | None
    kept: Tensors
    step: int


class StackedModel(nn.Module):
    """Calls methods of a model with stacked weights and buffers, for all members at once.

    Args:
        model: whose methods are called; its own weights are not used.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, method: Callable[..., Any], *args: Any) -> Any:
        return method(*args)

    def loss(
        self,
        method: Callable[[Batch], Loss],
        tensors: Tensors,
        batch: StackedBatch,
        draws: Sequence[Draw],
        values: Sequence[Tensor],
    ) -> tuple[Loss, Tensors]:
        """A phase's loss for all members, each entry [members, ...], and the batch's `kept`.

        Args:
            method: the model's, which computes it.
            tensors: parameters and buffers by name, [members, ...]; buffers change in place.
            batch: of all members.
            draws: what the loss draws at random.
            values: those numbers, each [members, ...].

        Raises:
            OtherDrawsError: it draws otherwise; buffers may have changed.
        """
        data = {"index": batch.index, "real": batch.real, "labels": batch.labels}
        data = {name: value for name, value in data.items() if value is not None}

        def one(
            tensors: Tensors, data: Tensors, kept: Tensors, values: Sequence[Tensor]
        ) -> tuple[Loss, Tensors]:
            own = Batch(data["index"], lambda _: data["real"], lambda _: data.get("labels"))
            own.step, own.kept = batch.step, dict(kept)
            replay = DrawReplay(draws, values)
            with VmapFunctions(replay, level(data["index"])):
                found = functional_call(self, tensors, (method, own))
            replay.finish()
            # A member's own entries; what does not depend on the member is the same for all.
            return Loss(found.total, dict(found.logs), dict(found.outputs)), own.kept

        return vmap(one)(dict(tensors), data, dict(batch.kept), list(values))

    def call(self, method: Callable[[], object], tensors: Tensors) -> None:
        """Call a method that changes weights and buffers in place, for all members."""

        def one(tensors: Tensors) -> Tensor:
            with VmapFunctions(DrawReplay((), ()), level(next(iter(tensors.values())))):
                functional_call(self, tensors, (method,))
            return next(iter(tensors.values())).new_zeros(())

        vmap(one)(dict(tensors))


def level(batched: Tensor) -> int:
    """The level of the vmap that a tensor belongs to."""
    return functorch.maybe_get_level(batched)
