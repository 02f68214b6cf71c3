"""The endless sequence of batches: the samples of batch k are a pure function of (seed, k)."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from gan_cli.data.dataset import Dataset, scaled
from gan_cli.errors import ConfigError
from gan_cli.model import Batch
from gan_cli.seeding import mix

AHEAD = 2  # batches

T = TypeVar("T")


class Prefetch(Generic[T]):
    """`work(k)` for k = 0, 1, ..., computed ahead on a thread.

    The result depends on k alone, not on earlier calls. An error of `work` is raised by the call
    for its k. The thread ends with the object, or with the program.

    Args:
        work: is called on one thread, one k after the other.
        ahead: number of results to compute ahead.
    """

    def __init__(self, work: Callable[[int], T], ahead: int = AHEAD) -> None:
        self._work, self._ahead = work, ahead
        self._thread = ThreadPoolExecutor(1, "prefetch")
        self._started: dict[int, Future[T]] = {}
        self.waited = 0.0  # seconds

    def __call__(self, k: int) -> T:
        """Start the next ones, and wait for `work(k)`."""
        window = range(k, k + self._ahead + 1)
        for other in set(self._started) - set(window):
            self._started.pop(other).cancel()
        for each in window:
            if each not in self._started:
                self._started[each] = self._thread.submit(self._work, each)
        begun = time.perf_counter()
        try:
            return self._started.pop(k).result()
        finally:
            self.waited += time.perf_counter() - begun


class Transfer(NamedTuple):
    """A tensor whose copy to the device may not have finished."""

    values: Tensor
    sent: torch.cuda.Event | None = None

    def received(self) -> Tensor:
        """The tensor; the device waits for the copy before it uses it, the host does not wait."""
        if self.sent is not None:
            stream = torch.cuda.current_stream(self.values.device)
            self.sent.wait(stream)
            self.values.record_stream(stream)
        return self.values


class Sender:
    """Fills batches on the host and copies them to `device`.

    Copies to CUDA use a stream of their own and pinned buffers in rotation: a buffer is filled
    again once its last batch has arrived.

    Args:
        device: the destination.
        buffers: number of pinned buffers.
    """

    def __init__(self, device: torch.device, buffers: int = 2) -> None:
        self.device, self._buffers = device, buffers
        self._used: deque[Transfer] = deque()
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def send(
        self, shape: tuple[int, ...], dtype: torch.dtype, fill: Callable[[Tensor], None]
    ) -> Transfer:
        """Fill a tensor on the CPU with `fill` and copy it to the device."""
        if self._stream is None:
            out = torch.empty(shape, dtype=dtype)
            fill(out)
            return Transfer(out.to(self.device))
        with torch.cuda.device(self.device):  # a new thread starts on the first device
            buffer = self._buffer(shape, dtype)
            fill(buffer)
            sent = torch.cuda.Event()
            with torch.cuda.stream(self._stream):
                moved = buffer.to(self.device, non_blocking=True)
                sent.record(self._stream)
        self._used.append(Transfer(buffer, sent))
        return Transfer(moved, sent)

    def _buffer(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        if len(self._used) < self._buffers:
            return torch.empty(shape, dtype=dtype, pin_memory=True)
        buffer, sent = self._used.popleft()
        if sent is not None:
            sent.synchronize()
        return buffer if buffer.shape == shape else torch.empty(shape, dtype=dtype, pin_memory=True)


ORDER = 0x0D8E  # keeps these seeds apart from those of a step's noise


class Stream:
    """Batches of `dataset`, epoch after epoch, each epoch in its own order.

    The samples' indices form one endless sequence, a new random permutation of the data set for
    each epoch; batch k is its k-th slice of `batch_size`. So a batch may span epochs (many, where
    it is larger than the data set), no sample is dropped, and the sequence is the same on every
    device. Where the data set flips, each epoch also draws which samples are mirrored.

    Args:
        dataset: the samples.
        batch_size: of all devices together.
        seed: of the permutations.
        device: of the indices.
        part: (r, w) selects the r-th of w equal, contiguous parts of each batch.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        seed: int,
        device: torch.device | str = "cpu",
        part: tuple[int, int] = (0, 1),
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size = {batch_size}: at least 1 is needed")
        self.dataset, self.batch_size, self.seed = dataset, batch_size, seed
        self.device = torch.device(device)
        self.size = dataset.spec.size
        self._length = batch_size // part[1]
        self._first = part[0] * self._length  # of a batch
        self._orders: dict[int, tuple[Tensor, Tensor]] = {}  # epoch -> (on the CPU, on the device)
        self._lock = Lock()
        self._prefetch: Prefetch[Transfer] | None = None
        if dataset.distant:
            self._sender = Sender(dataset.device)
            self._prefetch = Prefetch(self._send)

    def index(self, k: int) -> Tensor:
        """The indices of the samples of batch `k` = 0, 1, ..., int64 [batch_size / w]."""
        return self._slice(k, 1)

    def batch(self, k: int) -> Batch:
        """Batch `k`; its samples are gathered on first use."""
        dataset = self.dataset
        index = self._slice(k, 1)
        noise = dataset.dequantised if dataset.dequantise else None
        if dataset.resident:
            batch = Batch(index, dataset.real, dataset.labels, dataset.source, noise)
            batch.whole = self.batch_size
            return batch

        def real(_: Tensor) -> Tensor:
            # The CPU's copy of the index is used, as reading this one back would stall the device.
            if self._prefetch is not None:
                return dataset.mirrored(scaled(self._prefetch(k).received()), index)
            return dataset.real(self._slice(k, 0))

        def source(_: Tensor) -> Tensor:
            return dataset.source(self._slice(k, 0))

        batch = Batch(index, real, dataset.labels, source, noise)
        batch.whole = self.batch_size
        return batch

    def waited(self) -> float:
        """Seconds that training has waited for samples to arrive so far."""
        return 0.0 if self._prefetch is None else self._prefetch.waited

    def _send(self, k: int) -> Transfer:
        """Start to copy the samples of batch `k`, as stored, to the device. Runs on a thread."""
        dataset = self.dataset
        index = dataset.rows_at(self._slice(k, 0))
        epoch, position = divmod(k * self.batch_size, self.size)
        if position > self.size // 2:
            self._order(epoch + 1)  # so that no step waits for it
        shape = dataset.shape_of(index)
        return self._sender.send(shape, dataset.values.dtype, lambda out: dataset.fetch(index, out))

    def _slice(self, k: int, where: int) -> Tensor:
        epoch, start = divmod(k * self.batch_size + self._first, self.size)
        end = start + self._length
        if end <= self.size:
            return self._order(epoch)[where][start:end]
        pieces = []
        while end > 0:
            pieces.append(self._order(epoch)[where][start : min(end, self.size)])
            epoch, start, end = epoch + 1, 0, end - self.size
        return torch.cat(pieces)

    def _order(self, epoch: int) -> tuple[Tensor, Tensor]:
        """The permutation of an epoch on the CPU and on the device; the last two stay in memory."""
        if (order := self._orders.get(epoch)) is not None:
            return order
        with self._lock:
            if epoch not in self._orders:
                generator = torch.Generator().manual_seed(mix(self.seed, ORDER, epoch))
                host = torch.randperm(self.size, generator=generator)
                if self.dataset.flips:
                    host += self.size * torch.randint(2, (self.size,), generator=generator)
                kept = list(self._orders.items())[-1:]
                self._orders = dict([*kept, (epoch, (host, host.to(self.device)))])
            return self._orders[epoch]
