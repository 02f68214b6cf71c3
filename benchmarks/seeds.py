"""The time of seeds trained together, relative to one seed alone.

    python -m benchmarks.seeds [--members 4 16] [--rounds 7] [--device cpu] [overrides ...]

Per number of members: one session alone, and that many stacked into one, in turns within one
process. Printed are the median time of a step, and the median over rounds of its ratio to a step of
the one alone; without stacking that ratio is the number of members. Overrides are those of
gan-train; without any it is the GAN on the ring.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import torch

from benchmarks.machine import seconds
from gan_cli.config.instantiate import Trust
from gan_cli.config.settings import settings_of
from gan_cli.device import describe
from gan_cli.ensemble.ensemble import Ensemble
from gan_cli.training.setup import Session, assemble

RING = ["model=gan", "data=ring"]
WARM = 3  # steps


def sessions_of(count: int, overrides: list[str]) -> list[Session]:
    """Runs that differ in their seeds alone; they share the data."""
    found: list[Session] = []
    for seed in range(count):
        settings = settings_of(*overrides, f"seed={seed}")
        found.append(assemble(settings, Trust(), dataset=found[0].dataset if found else None))
    return found


def measured(options: argparse.Namespace) -> dict[int, dict[str, float]]:
    """Milliseconds of a step and its ratio to one alone, by the number of members."""
    overrides = [*(options.overrides or RING), f"runtime.device={options.device}"]
    (alone,) = sessions_of(1, overrides)
    steps: dict[int, Callable[[], object]] = {1: alone.trainer.advance}
    for count in options.members:
        steps[count] = Ensemble(sessions_of(count, overrides)).advance
    taken: dict[int, list[float]] = {count: [] for count in steps}
    for step in steps.values():
        seconds(step, alone.device, WARM)
    for _ in range(options.rounds):
        for count, step in steps.items():
            taken[count].append(seconds(step, alone.device, options.steps))
    return {
        count: {
            "milliseconds": round(1e3 * statistics.median(times), 3),
            "of_one": round(
                statistics.median(a / b for a, b in zip(times, taken[1], strict=True)), 3
            ),
        }
        for count, times in taken.items()
    }


def main() -> None:
    """Measure, print, and write to --out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("overrides", nargs="*", help="of gan-train")
    parser.add_argument("--members", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20, help="of each in a round")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--hardware", default="", help="in words, for --out")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = measured(options)
    print(f"{' '.join(options.overrides or RING)} on {options.device}")
    print(f"{'seeds':>6} {'ms/step':>10} {'of one':>8}")
    for count, row in rows.items():
        print(f"{count:6} {row['milliseconds']:10.3f} {row['of_one']:8.3f}")
    if options.out is not None:
        record = {
            "date": datetime.now(UTC).date().isoformat(),
            "hardware": options.hardware or describe(torch.device(options.device)),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "overrides": options.overrides or RING,
            "steps": options.steps,
            "rounds": options.rounds,
            "rows": rows,
        }
        options.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
