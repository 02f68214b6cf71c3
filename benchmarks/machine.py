"""The peak of the machine, and the demand of a step."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

# Channels, side and batch of 3x3 convolutions that run fast: the best of them is the peak.
SHAPES = [(64, 32, 32), (128, 16, 32), (256, 16, 16), (256, 8, 64)]
COUNTED = ("convolution", "mm", "addmm", "bmm", "baddbmm")


def wait(device: torch.device) -> None:
    """Wait until the device has finished all work."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def seconds(work: Callable[[], object], device: torch.device, times: int = 1) -> float:
    """The mean seconds of `times` calls."""
    wait(device)
    begun = time.perf_counter()
    for _ in range(times):
        work()
    wait(device)
    return (time.perf_counter() - begun) / times


class Peak:
    """The fp32 (or `dtype`) convolution peak, to be measured in every round."""

    def __init__(self, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self.device = device
        last = torch.channels_last
        self.cases: list[tuple[Tensor, Tensor, int]] = []
        for channels, side, batch in SHAPES:
            x = torch.randn(batch, channels, side, side, device=device, dtype=dtype)
            w = torch.randn(channels, channels, 3, 3, device=device, dtype=dtype)
            flops = 2 * 9 * channels * channels * side * side * batch
            self.cases.append((x.to(memory_format=last), w.to(memory_format=last), flops))

    @torch.no_grad()
    def measure(self) -> float:
        """FLOP/s of the fastest shape."""
        rates = []
        for x, w, flops in self.cases:
            conv2d(x, w, padding=1)
            rates.append(flops / seconds(lambda x=x, w=w: conv2d(x, w, padding=1), self.device, 3))
        return max(rates)


def bandwidth(device: torch.device) -> float:
    """Bytes per second of a copy on the device, read and written bytes both counted."""
    source = torch.empty(1 << 28 if device.type == "cuda" else 1 << 24, device=device)
    target = torch.empty_like(source)
    times = [seconds(lambda: target.copy_(source), device, 3) for _ in range(5)]
    return 2 * source.nbytes / statistics.median(times)


class _Bytes(TorchDispatchMode):
    """Sums what convolutions and matrix products read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        result = func(*args, **given)
        if any(name in str(func) for name in COUNTED):
            leaves = tree_leaves((args, given, result))
            self.total += sum(x.nbytes for x in leaves if isinstance(x, Tensor))
        return result


def demand(step: Callable[[], object], parameters: int) -> tuple[int, int]:
    """The FLOPs and bytes that a step needs at least.

    The FLOPs are those of convolutions and matrix products, forward and backward. The bytes are
    what these read and write, all else taken as fused into them, and seven words for each of
    `parameters` by Adam (weight, gradient and two moments read; three of them written).
    """
    with FlopCounterMode(display=False) as flops:
        step()
    with _Bytes() as traffic:
        step()
    return flops.get_total_flops(), traffic.total + 7 * 4 * parameters
