"""What two runs of one seed have in common when something around them differs.

    python -m benchmarks.equality FOLDER [--steps 50]

Trains a small DCGAN on MNIST on a CPU again and again, each time with one thing changed: nothing,
the number of threads, the precision, compilation, another stop and resume half-way.
Prints for each whether the weights are equal bit by bit, and else the distance |a - b| / |a| of
the generator's weights after the first and after the last step, as Markdown.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

COMMON = (
    *("model=dcgan", "data=mnist", "network.width=16", "batch_size=16", "seed=1", "log_every=10"),
    *("runtime.device=cpu", "sample_every=0", "checkpoint.keep=null", "callbacks=none"),
    *("runtime.precision=fp32", "runtime.threads=1"),
)
RESUMED = ("resumed",)
CHANGES = {
    "the same command": (),
    "2 threads instead of 1": ("runtime.threads=2",),
    "bf16 instead of fp32": ("runtime.precision=bf16",),
    "runtime.compile=true": ("runtime.compile=true",),
    "resumed twice, not once": RESUMED,
}


def trained(folder: Path, change: tuple[str, ...], steps: int) -> dict[int, Tensor]:
    """Train to step 1, and on to the last; the generator's weights at both."""
    ends = [1, steps // 2, steps] if change == RESUMED else [1, steps]
    settings = dict(word.split("=") for word in (*COMMON, *(change if change != RESUMED else ())))
    found = {}
    for end in ends:
        words = [f"{key}={value}" for key, value in settings.items()]
        subprocess.run(
            [sys.executable, "-m", "gan_cli", "train", *words, f"steps={end}", f"run.dir={folder}"],
            env={**os.environ, "OMP_NUM_THREADS": "2"},
            stderr=subprocess.DEVNULL,
            check=True,
        )
        found[end] = _weights(folder / "checkpoints" / "last.pt")
    return {1: found[1], steps: found[steps]}


def _weights(path: Path) -> Tensor:
    state = torch.load(path, map_location="cpu", weights_only=True)["model"]
    own = (value for name, value in state.items() if name.startswith("generator."))
    return torch.cat([value.flatten() for value in own if value.is_floating_point()])


def main() -> None:
    """Print a row for each change."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("folder", type=Path)
    options.add_argument("--steps", type=int, default=50)
    chosen = options.parse_args()
    base = trained(chosen.folder / "base", (), chosen.steps)
    print(f"| changed | after 1 step | after {chosen.steps} steps |\n|---|---|---|")
    for number, (name, words) in enumerate(CHANGES.items()):
        other = trained(chosen.folder / str(number), words, chosen.steps)
        cells = [_compared(base[step], other[step]) for step in base]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _compared(one: Tensor, other: Tensor) -> str:
    if torch.equal(one, other):
        return "equal"
    return f"{float((one - other).norm() / one.norm()):.1e}"


if __name__ == "__main__":
    main()
