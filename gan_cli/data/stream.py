"""The endless sequence of batches: which samples a step sees is a pure function of (seed, k)."""

from __future__ import annotations

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


ORDER = 0x0D8E  # keeps these seeds apart from those of a step's noise


class Stream:
    """Batches of `dataset`, epoch after epoch, each epoch in its own order.

    The samples' places form one endless row, one random permutation of the data set after the
    other; batch k is its k-th piece of `batch_size`. So a batch may span epochs (and many of
    them, where it is larger than the data set), no sample is dropped, and the row is the same on
    every device.

    Args:
        dataset: whose samples.
        batch_size: of all devices together.
        seed: of the permutations.
        device: where places are wanted.
        part: (r, w) gives the r-th of w equal, contiguous parts of each batch.
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
        self._making = Lock()
        self._ahead: Prefetch[Arriving] | None = None
        if dataset.distant:
            self._sender = Sender(dataset.device)
            self._ahead = Prefetch(self._sent)

    def index(self, k: int) -> Tensor:
        """The places of the samples of batch `k` = 0, 1, ..., int64 [batch_size / w]."""
        return self._slice(k, 1)

    def batch(self, k: int) -> Batch:
        """Batch `k`; its samples are gathered only when they are asked for."""
        dataset = self.dataset
        index = self._slice(k, 1)
        if dataset.resident:
            return Batch(index, dataset.real, dataset.labels, dataset.source)
        if (ahead := self._ahead) is not None:
            return Batch(index, lambda _: scaled(ahead(k).here()), dataset.labels, dataset.source)
        # The table stayed behind: gather with the CPU's copy, as reading `index` back would
        # stall the device.
        return Batch(
            index, lambda _: dataset.real(self._slice(k, 0)), dataset.labels, dataset.source
        )

    def _sent(self, k: int) -> Arriving:
        """The samples of batch `k`, as stored, on the way to the device. Runs on a thread."""
        index, dataset = self._slice(k, 0), self.dataset
        epoch, place = divmod(k * self.batch_size, self.size)
        if place > self.size // 2:
            self._order(epoch + 1)  # so that no step has to wait for it
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
        """The permutation of an epoch; the last two stay in memory."""
        found = self._orders.get(epoch)
        if found is not None:
            return found
        with self._making:
            if epoch not in self._orders:
                generator = torch.Generator().manual_seed(mix(self.seed, ORDER, epoch))
                host = torch.randperm(self.size, generator=generator)
                kept = list(self._orders.items())[-1:]
                self._orders = dict([*kept, (epoch, (host, host.to(self.device)))])
            return self._orders[epoch]
