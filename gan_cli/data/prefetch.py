"""Batches fetched ahead on a thread, while the step before them computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

AHEAD = 2  # batches

T = TypeVar("T")


class Prefetch(Generic[T]):
    """`work(k)` for k = 0, 1, ..., begun before it is asked for.

    What it gives is a function of k alone, whatever was asked before. An error of `work` is raised
    where its k is asked for. The thread ends with the object, or with the program.

    Args:
        work: is called on one thread, one k after the other.
        ahead: how many it may be ahead.
    """

    def __init__(self, work: Callable[[int], T], ahead: int = AHEAD) -> None:
        self._work, self._ahead = work, ahead
        self._thread = ThreadPoolExecutor(1, "prefetch")
        self._begun: dict[int, Future[T]] = {}

    def __call__(self, k: int) -> T:
        """Wait for `work(k)`; the next ones begin."""
        wanted = range(k, k + self._ahead + 1)
        for other in set(self._begun) - set(wanted):
            self._begun.pop(other).cancel()
        for each in wanted:
            if each not in self._begun:
                self._begun[each] = self._thread.submit(self._work, each)
        return self._begun.pop(k).result()


class Arriving(NamedTuple):
    """A tensor that may still be on its way to the device."""

    values: Tensor
    sent: torch.cuda.Event | None = None

    def here(self) -> Tensor:
        """The tensor; what the device does with it waits for it, the host does not."""
        if self.sent is not None:
            stream = torch.cuda.current_stream(self.values.device)
            self.sent.wait(stream)
            self.values.record_stream(stream)
        return self.values


class Sender:
    """Fills batches on the host and sends them to `device`.

    To CUDA they travel on a stream of their own from pinned buffers, used in turns: a buffer is
    filled again when its last batch has arrived.

    Args:
        device: where to.
        buffers: how many.
    """

    def __init__(self, device: torch.device, buffers: int = 2) -> None:
        self.device, self._buffers = device, buffers
        self._used: deque[Arriving] = deque()
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def send(
        self, shape: tuple[int, ...], dtype: torch.dtype, fill: Callable[[Tensor], None]
    ) -> Arriving:
        """What `fill` writes into a tensor on the CPU, on the device."""
        if self._stream is None:
            out = torch.empty(shape, dtype=dtype)
            fill(out)
            return Arriving(out.to(self.device))
        with torch.cuda.device(self.device):  # a thread begins on the first one
            buffer = self._buffer(shape, dtype)
            fill(buffer)
            sent = torch.cuda.Event()
            with torch.cuda.stream(self._stream):
                moved = buffer.to(self.device, non_blocking=True)
                sent.record(self._stream)
        self._used.append(Arriving(buffer, sent))
        return Arriving(moved, sent)

    def _buffer(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        if len(self._used) < self._buffers:
            return torch.empty(shape, dtype=dtype, pin_memory=True)
        buffer, sent = self._used.popleft()
        if sent is not None:
            sent.synchronize()
        return buffer if buffer.shape == shape else torch.empty(shape, dtype=dtype, pin_memory=True)
