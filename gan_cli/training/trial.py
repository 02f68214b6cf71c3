"""The faster precision of a model on this CPU, by a trial of its own updates.

Whether bf16 pays on a CPU depends on its instructions (AMX multiplies matrices, AVX512-BF16
vectors), on torch and on the shapes of the model, so a few steps of copies are timed in both. The
result is kept in the cache folder by machine and model, so that only the first start pays.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from gan_cli import files
from gan_cli.data.published import cache_folder
from gan_cli.device import processor
from gan_cli.errors import UserError

log = logging.getLogger(__name__)
LEAST = 0.3  # seconds of steps to time in each precision
WORTH = 1.1  # times as fast as fp32, for bf16 to be chosen
FILE = "precision.json"  # in the cache folder: "<machine and model>" -> seconds by precision


def faster(
    step: Callable[[str], Callable[[], object]], identity: Mapping[str, Any]
) -> tuple[str, str]:
    """The faster precision, "bf16" or "fp32", and a line about it.

    Torch's random stream stays as it is.

    Args:
        step: makes, for a precision, a function that trains copies by one step.
        identity: of the model: whatever its speed depends on.
    """
    path, key = cache_folder() / FILE, digest({**identity, **machine()})
    kept = _read(path)
    found = kept.get(key)
    if found is None:
        stream = torch.get_rng_state()
        try:
            found = {name: timed(step(name)) for name in ("fp32", "bf16")}
        finally:
            torch.set_rng_state(stream)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, json.dumps(kept | {key: found}, indent=1) + "\n")
        except (OSError, UserError) as error:
            log.debug(f"the trial of precisions is not kept: {error}")
    gain = found["fp32"] / found["bf16"]
    name = "bf16" if gain >= WORTH else "fp32"
    return name, f"{name}: bf16 is {gain:.2f} times as fast as fp32 for this model on this CPU"


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
            key: {name: float(found[name]) for name in ("fp32", "bf16")}
            for key, found in kept.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
