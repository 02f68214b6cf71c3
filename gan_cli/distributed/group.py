"""Ranks started by torchrun, over torch's process groups: gloo, and nccl between GPUs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from gan_cli.console import clean
from gan_cli.distributed.collectives import Mean
from gan_cli.distributed.heartbeat import Heartbeat
from gan_cli.distributed.random import SharedDraws
from gan_cli.distributed.ranks import Drawing, Gather, Ranks, Value
from gan_cli.errors import ConfigError, UserError
from gan_cli.exits import RunFailedError, one_line, status_of

JOINING = timedelta(minutes=5)  # for all ranks to arrive; Heartbeat finds one that is lost later
NO_LIMIT = timedelta(days=30)
ADVICE = "resume=RUN resumes from the last checkpoint, with any number of ranks"


class LostError(UserError):
    """Another rank has failed or is gone."""


class Group(Ranks):
    """One of several ranks, after `joined`.

    Args:
        backends: of the process group, such as "cpu:gloo,cuda:nccl".
    """

    echo = 5.0  # a terminal and torchrun both pass a Ctrl-C on

    def __init__(self, backends: str) -> None:
        found, self.rank, self.count = next(rendezvous("env://", timeout=JOINING))
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        self._report: Callable[[str], None] = self.say
        self._shared: BaseException | None = None  # what all ranks end with
        self._beats = Heartbeat(
            host, port, self.rank, self.count, lambda why: self._report(lost(why))
        )
        dist.init_process_group(
            backends, store=found, rank=self.rank, world_size=self.count, timeout=NO_LIMIT
        )

    def device(self, name: str) -> str:
        """The GPU with this rank's number on its machine, or the CPU.

        Raises:
            ConfigError: `name` is one device for all, or there are fewer GPUs than ranks.
        """
        if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
            return "cpu"
        if name not in ("auto", "cuda"):
            raise ConfigError(
                f"runtime.device = {name}: is one device, and each of {self.count} ranks needs its "
                "own; use auto, cuda or cpu"
            )
        place, have = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if place >= have:
            raise ConfigError(
                f"runtime.device = {name}: there are more ranks than the {have} GPUs of this "
                f"machine; use torchrun --nproc-per-node {have}, or runtime.device=cpu"
            )
        return f"cuda:{place}"

    def check(self, batch_size: int, pack: int) -> None:
        unit = self.count * pack
        if batch_size % unit:
            packs = f" and cut into packs of {pack}" if pack > 1 else ""
            raise ConfigError(
                f"batch_size = {batch_size}: is shared by {self.count} ranks{packs}, so it must be "
                f"a multiple of {unit}; set batch_size={(batch_size // unit + 1) * unit}"
            )

    def gather(self) -> Gather:
        mean = Mean(self.count)

        def gather(parameters: Sequence[torch.nn.Parameter]) -> None:
            with self._calling():
                mean(parameters)

        return gather

    def drawing(self, sizes: frozenset[int]) -> Drawing:
        mode = SharedDraws(self.rank, self.count, sizes)

        def drawing() -> AbstractContextManager[object]:
            return mode

        return drawing

    @contextmanager
    def sharing_errors(self) -> Iterator[None]:
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            error = raised
        statuses = self._gathered(None if error is None else _status(error))
        failed = next((rank for rank, status in enumerate(statuses) if status is not None), None)
        if failed is None:
            return
        if self.first:
            self._shared = error or UserError(f"rank {failed}: {statuses[failed][0]}")
        else:
            self._shared = RunFailedError(*statuses[failed])
        raise self._shared

    def share(self, value: Value) -> Value:
        values: list[Any] = [value if self.first else None]
        with self._calling():
            dist.broadcast_object_list(values, src=0, device=torch.device("cpu"))
        return value if self.first else values[0]

    def _gathered(self, value: object) -> list[Any]:
        values: list[Any] = [None] * self.count
        with self._calling():
            dist.all_gather_object(values, value)
        return values

    def agree(self, *numbers: int) -> tuple[int, ...]:
        largest = torch.tensor(numbers)
        with self._calling():
            dist.all_reduce(largest, dist.ReduceOp.MAX)
        return tuple(largest.tolist())

    def add(self, values: Tensor) -> None:
        with self._calling():
            dist.all_reduce(values)

    def average(self, values: Sequence[Tensor]) -> None:
        if not values:
            return
        flat = torch.cat([v.reshape(-1) for v in values])
        self.add(flat)
        flat.div_(self.count)
        for value, mean in zip(values, flat.split([v.numel() for v in values]), strict=True):
            value.copy_(mean.view_as(value))

    def require_equal(self, values: Sequence[Tensor]) -> None:
        digest = hashlib.sha256()
        for value in values:
            digest.update(value.detach().cpu().numpy().tobytes())
        digests = self._gathered(digest.hexdigest())
        others = [rank for rank, found in enumerate(digests) if found != digests[0]]
        if others:
            raise UserError(
                f"rank {others[0]} does not have the weights of rank 0; all machines must "
                "have the same program, torch, kind of processor and data"
            )

    def on_loss(self, report: Callable[[str], None]) -> None:
        self._report = report

    @contextmanager
    def _calling(self) -> Iterator[None]:
        """Within it, a failed call to another rank raises `LostError`."""
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise LostError(lost(self._beats.reason() or one_line(error))) from error

    def say(self, message: str) -> None:
        print(clean(f"error: rank {self.rank}: {message}"), file=sys.stderr, flush=True)

    def leave(self) -> None:
        """End this rank once all others are done (together)."""
        self.agree(0)
        self._beats.stop()
        self.agree(0)  # no rank needs the first one's store any more
        dist.destroy_process_group()

    def fail(self, error: BaseException) -> None:
        """End this rank: with the others where all fail; else at once, and let them know why."""
        if self._is_shared(error):
            with contextlib.suppress(LostError):
                self.leave()
            return
        self._beats.fail(str(error) if isinstance(error, RunFailedError) else one_line(error))
        self._beats.stop()

    def _is_shared(self, error: BaseException | None) -> bool:
        while error is not None and error is not self._shared:
            error = error.__cause__ or error.__context__
        return error is not None


def lost(why: str) -> str:
    """The message of a lost rank, with what the user can do."""
    return f"another rank has ended: {why}; {ADVICE}"


def _status(error: BaseException) -> tuple[str, int]:
    return one_line(error), status_of(error)


def meet(device: str) -> Group:
    """Join the process group as one rank, once all others have arrived.

    Args:
        device: `runtime.device`, by which the backend is chosen.

    Raises:
        UserError: they do not arrive.
    """
    cuda = device in ("auto", "cuda") and torch.cuda.is_available()
    # Until all are there, torchrun can end this one at once.
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        return Group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    except (RuntimeError, ValueError) as error:
        raise UserError(f"could not connect to the other ranks: {one_line(error)}") from error
    finally:
        signal.signal(signal.SIGTERM, before)
