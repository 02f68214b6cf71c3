"""Several ranks on this machine, as torchrun would start them, from one process that has torch."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from waiting import PATIENCE

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["gan_cli.training.run", "gan_cli.distributed.group"])


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


def start(count: int, work: Callable[..., Any], *args: Any) -> list[BaseProcess]:
    """`count` processes that do `work(*args)` as ranks of one run."""
    port = free_port()
    processes: list[BaseProcess] = [
        CONTEXT.Process(target=_be, args=(rank, count, port, work, args), daemon=True)
        for rank in range(count)
    ]
    for process in processes:
        process.start()
    return processes


def _be(rank: int, count: int, port: int, work: Callable[..., Any], args: tuple) -> None:
    os.environ |= {
        **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
    }
    torch.set_num_threads(1)
    work(*args)


def command(folder: Path, *overrides: str) -> None:
    """`gan-train OVERRIDES` in `folder`, what it writes in a file for each rank."""
    from gan_cli.commands import train

    os.chdir(folder)
    with Path(f"said-{os.environ['RANK']}.txt").open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["gan-train", *overrides]
    train.main()


def ended(processes: list[BaseProcess]) -> list[int | None]:
    """Their exit statuses; None for one that did not end, which is then killed."""
    for process in processes:
        process.join(PATIENCE)
    statuses = [process.exitcode for process in processes]
    for process in processes:
        if process.is_alive():
            process.kill()
    return statuses
