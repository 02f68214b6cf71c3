"""The speedup of several ranks over one, and the cost of averaging their gradients.

    python -m benchmarks.ranks [--ranks 2] [--model dcgan] [--batch 64] [--rounds 20] [--device cpu]

Starts the ranks itself. All of these take turns within one run, each for some steps in a round:

    one           the first rank by itself with the whole batch, the others waiting
    coalesced     all ranks, the gradients of a phase averaged in one call after backward: ours
    overlapped    the same in pieces of --bucket-mb that travel during backward
    unconnected   all ranks without any exchange, the lower bound of the two above
    agreement     all ranks agreeing whether to stop, which a run does after each step: its time

Printed are medians over rounds: of a step's time, of its ratios to `one` and to `unconnected` in
the same round, and of the CPU time that the first rank spends on it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import socket
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from gan_cli.config.instantiate import Trust
from gan_cli.config.settings import settings_of
from gan_cli.device import processor
from gan_cli.distributed.join import joined
from gan_cli.distributed.ranks import Ranks
from gan_cli.training.setup import Session, assemble


class Overlapped:
    """Averages gradients in pieces, each sent as soon as backward has filled it.

    Args:
        parameters: all that are ever trained.
        count: of ranks.
        size: of a piece, in bytes.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], count: int, size: float) -> None:
        self.count, self.size = count, size
        self._ready: list[nn.Parameter] = []
        self._sent: list[tuple[Tensor, list[nn.Parameter], dist.Work]] = []
        for parameter in parameters:
            parameter.register_post_accumulate_grad_hook(self._take)

    def _take(self, parameter: Tensor) -> None:
        assert isinstance(parameter, nn.Parameter)
        self._ready.append(parameter)
        if sum(p.nbytes for p in self._ready) >= self.size:
            self._send()

    def _send(self) -> None:
        if self._ready:
            flat = torch.cat([p.grad.reshape(-1) for p in self._ready if p.grad is not None])
            work = dist.all_reduce(flat, async_op=True)
            assert work is not None
            self._sent.append((flat, self._ready, work))
            self._ready = []

    def __call__(self, parameters: Sequence[nn.Parameter]) -> None:
        """Send the rest, and wait for all."""
        self._send()
        for flat, some, work in self._sent:
            work.wait()
            flat.div_(self.count)
            pieces = flat.split([p.numel() for p in some])
            for parameter, piece in zip(some, pieces, strict=True):
                parameter.grad = piece.view_as(parameter)
        self._sent.clear()


def measured(options: argparse.Namespace, ranks: Ranks) -> dict[str, list[tuple[float, float]]]:
    """Seconds of a step in each round, and of the CPU, by variant."""
    settings = settings_of(
        *(f"model={options.model}", f"batch_size={options.batch}", "runtime.threads=1"),
        f"runtime.device={options.device}",
    )
    sessions: dict[str, Session] = {"one": assemble(settings, Trust())}
    for name in ("coalesced", "overlapped", "unconnected"):
        sessions[name] = assemble(settings, Trust(), ranks)
    parameters = list(sessions["overlapped"].model.parameters())
    size = options.bucket_mb * 1e6
    sessions["overlapped"].trainer._gather = Overlapped(parameters, ranks.count, size)
    sessions["unconnected"].trainer._gather = None

    def wait() -> None:
        if options.device == "cuda":
            torch.cuda.synchronize()
        ranks.agree(0, False)

    seconds: dict[str, list[tuple[float, float]]] = {n: [] for n in (*sessions, "agreement")}
    for turn in range(options.rounds + 1):
        for name in seconds:
            step: Callable[[], object] = lambda: ranks.agree(0, False)  # noqa: E731
            if name in sessions:
                step = sessions[name].trainer.advance
            wait()
            begun, busy = time.perf_counter(), time.process_time()
            for _ in range(options.steps):
                if name != "one" or ranks.first:
                    step()
            wait()
            if turn:  # the first round warms up
                took = time.perf_counter() - begun, time.process_time() - busy
                seconds[name].append((took[0] / options.steps, took[1] / options.steps))
    return seconds


def be(rank: int, port: int, options: argparse.Namespace) -> None:
    """One rank's part."""
    os.environ |= {
        **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(options.ranks)},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
    }
    logging.disable(logging.WARNING)
    with joined(options.device) as ranks:
        seconds = measured(options, ranks)
    if rank == 0:
        report(options, seconds)


def report(options: argparse.Namespace, seconds: dict[str, list[tuple[float, float]]]) -> None:
    """Print the table, and write it to --out."""

    def ratio(name: str, to: str) -> float:
        pairs = zip(seconds[name], seconds[to], strict=True)
        return round(statistics.median(mine[0] / other[0] for mine, other in pairs), 3)

    rows = {
        name: {
            "milliseconds": round(1e3 * statistics.median(wall for wall, _ in times), 3),
            "of_one": ratio(name, "one"),
            "of_unconnected": ratio(name, "unconnected"),
            "cpu_milliseconds": round(1e3 * statistics.median(cpu for _, cpu in times), 3),
        }
        for name, times in seconds.items()
    }
    print(f"{options.ranks} ranks, {options.model}, batch {options.batch}, {options.device}")
    print(f"{'':12} {'ms':>9} {'of one':>8} {'of unconnected':>15} {'CPU ms':>9}")
    for name, row in rows.items():
        wall, one, bare, cpu = row.values()
        print(f"{name:12} {wall:9.2f} {one:8.3f} {bare:15.3f} {cpu:9.2f}")
    if options.out is not None:
        record = {
            "date": datetime.now(UTC).date().isoformat(),
            "hardware": options.hardware or processor(),
            "torch": torch.__version__,
            **{
                key: value for key, value in vars(options).items() if key not in ("out", "hardware")
            },
            "rows": rows,
        }
        options.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Start the ranks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--model", default="dcgan")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=3, help="of each in a round")
    parser.add_argument("--bucket-mb", type=float, default=1.0)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--hardware", default="", help="in words, for --out")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.device == "cuda" and torch.cuda.device_count() < options.ranks:
        print(f"error: {options.ranks} ranks need as many GPUs", file=sys.stderr)
        sys.exit(2)
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = door.getsockname()[1]
    spawn(be, (port, options), options.ranks)


if __name__ == "__main__":
    main()
