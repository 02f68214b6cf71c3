"""The fastest precision and number of threads of a model on this CPU, by a trial of its updates.

Whether bf16 pays on a CPU depends on its instructions (AMX multiplies matrices, AVX512-BF16
vectors), on torch and on the shapes of the model; whether threads pay, on the sizes of its layers,
on cores that are halves of one, and on what else runs. So a few steps of copies are timed each way.
The result is kept in the cache folder by machine and model, so that only the first start pays.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from gan_cli import files
from gan_cli.data.published import cache_folder
from gan_cli.device import processor
from gan_cli.errors import UserError

log = logging.getLogger(__name__)
LEAST = 0.15  # seconds of steps to time each way
ROUNDS = 2  # of all ways whose steps are shorter than that, as other programs may disturb one
WORTH = 1.1  # times as fast as fp32, for bf16 to be chosen
WORTH_THREADS = 1.25  # times as fast as with fewer, for more threads to be chosen
FILE = "trials.json"  # in the cache: "<machine and model>" -> seconds by "<precision>/<threads>"


def fastest(
    step: Callable[[str], Callable[[], object]],
    identity: Mapping[str, Any],
    precisions: Sequence[str],
    threads: Sequence[int],
) -> tuple[str, int, list[str]]:
    """The fastest precision and number of threads, and lines about them.

    Torch's random stream stays as it is; its number of threads may not.

    Args:
        step: makes, for a precision, a function that trains copies by one step.
        identity: of the model: whatever its speed depends on.
        precisions: ("fp32", "bf16"), or the one that is set.
        threads: to try, the fewest first.
    """
    ways = [f"{precision}/{count}" for count in threads for precision in precisions]
    path = cache_folder() / FILE
    key = digest({**identity, **machine(), "ways": ways})
    kept = _read(path)
    found = kept.get(key)
    if found is None or not set(ways) <= found.keys():
        found = _time(step, ways)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, json.dumps(kept | {key: found}, indent=1) + "\n")
        except (OSError, UserError) as error:
            log.debug(f"the trial is not kept: {error}")
    count, lines = threads[0], list[str]()
    best = _precision(found, precisions, count)
    here = "for this model on this CPU"
    for more in threads[1:]:
        name = _precision(found, precisions, more)
        gain = found[f"{best}/{count}"] / found[f"{name}/{more}"]
        lines.append(f"{more} threads are {gain:.2f} times as fast as {count} {here}")
        if gain >= WORTH_THREADS:
            best, count = name, more
    if len(precisions) > 1:
        gain = found[f"fp32/{count}"] / found[f"bf16/{count}"]
        lines.append(f"{best}: bf16 is {gain:.2f} times as fast as fp32 {here}")
    return best, count, lines


def _precision(found: Mapping[str, float], precisions: Sequence[str], threads: int) -> str:
    """The precision to take with this number of threads."""
    if len(precisions) == 1:
        return precisions[0]
    gain = found[f"fp32/{threads}"] / found[f"bf16/{threads}"]
    return "bf16" if gain >= WORTH else "fp32"


def _time(step: Callable[[str], Callable[[], object]], ways: Sequence[str]) -> dict[str, float]:
    """The seconds of a step, each way: the fastest of the rounds, each with copies of its own."""
    stream, before, found = torch.get_rng_state(), torch.get_num_threads(), dict[str, float]()
    try:
        for _ in range(ROUNDS):
            for way in ways:
                if found.get(way, 0.0) < LEAST:
                    precision, count = way.split("/")
                    torch.set_num_threads(int(count))
                    found[way] = min(timed(step(precision)), found.get(way, math.inf))
    finally:
        torch.set_num_threads(before)
        torch.set_rng_state(stream)
    return found


def timed(step: Callable[[], object]) -> float:
    """The seconds of the fastest of some steps, after one that is not counted."""
    step()
    times: list[float] = []
    while sum(times) < LEAST:
        begun = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun)
    return min(times)


def machine() -> dict[str, Any]:
    """Whatever of the machine a step's speed depends on."""
    return {
        "cpu": processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def digest(parts: Mapping[str, Any]) -> str:
    """A key for the cache."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _read(path: Path) -> dict[str, dict[str, float]]:
    """The kept results; none where the file is missing or damaged."""
    try:
        kept = json.loads(path.read_text())
        return {
            key: {way: float(seconds) for way, seconds in found.items()}
            for key, found in kept.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
