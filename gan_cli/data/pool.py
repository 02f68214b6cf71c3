"""Work spread over processes, in order, that outlives the death of a worker."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.synchronize import Barrier
from types import TracebackType
from typing import TypeVar

from gan_cli.device import cores
from gan_cli.errors import DataError

log = logging.getLogger(__name__)

MOST_DEATHS = 16  # of workers; more mean that the machine is at fault, not a file

Item = TypeVar("Item")
Result = TypeVar("Result")


class Pool:
    """Worker processes, or this process alone where `workers` is 1.

    Workers are started afresh ("spawn"), never forked: a fork of a process with threads, as torch
    has, can hang.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._deaths = 0
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def map(
        self,
        function: Callable[[list[Item]], list[Result]],
        items: Iterable[Item],
        chunk: int,
        died: Callable[[Item], Result],
    ) -> Iterator[list[Result]]:
        """Results of `function`, which takes a list and returns a list, `chunk` items at a time.

        Where a worker dies, its items are tried again one by one, and what `died` makes of an item
        stands for the result of one that kills its worker again. Only a few chunks are under way
        at once, so results wait in memory for no one.

        Raises:
            DataError: workers die again and again.
        """
        rest = iter(items)
        chunks = iter(lambda: list(islice(rest, chunk)), [])
        if self.workers == 1:
            yield from map(function, chunks)
            return
        waiting: deque[tuple[list[Item], Future[list[Result]]]] = deque()
        for piece in chunks:
            waiting.append((piece, self._submit(function, piece)))
            if len(waiting) >= 3 * self.workers:
                yield self._first(function, waiting, died)
        while waiting:
            yield self._first(function, waiting, died)

    def _first(
        self,
        function: Callable[[list[Item]], list[Result]],
        waiting: deque[tuple[list[Item], Future[list[Result]]]],
        died: Callable[[Item], Result],
    ) -> list[Result]:
        piece, future = waiting.popleft()
        try:
            return future.result()
        except BrokenProcessPool:
            self._count_death()
        results = self._one_by_one(function, piece, died)
        # All that was under way died with that worker. One chunk at a time shows whose fault it is.
        for place, (other, lost) in enumerate(waiting):
            if lost.cancelled() or isinstance(lost.exception(), BrokenProcessPool):
                again: Future[list[Result]] = Future()
                again.set_result(self._alone(function, other, died))
                waiting[place] = (other, again)
        return results

    def _alone(
        self,
        function: Callable[[list[Item]], list[Result]],
        piece: list[Item],
        died: Callable[[Item], Result],
    ) -> list[Result]:
        try:
            return self._submit(function, piece).result()
        except BrokenProcessPool:
            self._count_death()
        return self._one_by_one(function, piece, died)

    def _one_by_one(
        self,
        function: Callable[[list[Item]], list[Result]],
        piece: list[Item],
        died: Callable[[Item], Result],
    ) -> list[Result]:
        results = []
        for item in piece:
            try:
                results += self._submit(function, [item]).result()
            except BrokenProcessPool:
                self._count_death()
                results.append(died(item))
        return results

    def _submit(
        self, function: Callable[[list[Item]], list[Result]], piece: list[Item]
    ) -> Future[list[Result]]:
        if self._executor is None:
            context = multiprocessing.get_context("spawn")
            together = (context.Barrier(self.workers),)
            self._executor = ProcessPoolExecutor(self.workers, context, _begin, together)
            for _ in range(self.workers):  # none begins before all are there: see `_begin`
                _submit(self._executor, cores)
        return _submit(self._executor, function, piece)

    def _count_death(self) -> None:
        self._stop()
        self._deaths += 1
        log.info("a worker process died; starting another")
        if self._deaths > MOST_DEATHS:
            raise DataError(
                f"data.workers = {self.workers}: worker processes die again and again (out of "
                "memory? a script without `if __name__ == '__main__'`?); set data.workers=1"
            )

    def _stop(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None


def _submit(
    executor: ProcessPoolExecutor, function: Callable[..., Result], *arguments: object
) -> Future[Result]:
    try:
        try:
            return executor.submit(function, *arguments)
        except OSError:
            # A worker that dies while another starts has the queues closed under the newcomer.
            # A broken pool says so when asked again; any other fault shows itself again.
            return executor.submit(function, *arguments)
    except BrokenProcessPool as cause:  # it broke since the last result was looked at
        failed: Future[Result] = Future()
        failed.set_exception(cause)
        return failed


def _begin(together: Barrier) -> None:
    """Leave Ctrl-C to the parent, which ends its workers in order; but do not outlive it.

    The workers wait for one another, so that the pool starts them all with its first items: one
    that started another while a third dies would find its queues closed, or hang.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    together.wait()


def _end_with_parent() -> None:
    # A worker holds both ends of its queue, so it would never notice that nobody writes any more.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
