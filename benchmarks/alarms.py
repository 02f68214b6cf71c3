"""Counts alarms of healthy runs: each of the four models on the ring, over many seeds.

    python -m benchmarks.alarms [--seeds 20] [--steps 1000] [--models gan ...] [--out FILE.json]

The seeds of a model are trained together. An alarm of such a run need not be false: a GAN may lose
modes on the ring. So the modes that each run captures at its end stand beside its alarms. Runs are
short, so that all of them take half an hour on one core; 1,000 steps are the 100 points of the
curves that the slowest alarm (oscillation) looks at. FILE grows model by model, and replaces the
rows of the models that are run again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from gan_cli import files
from gan_cli.runs.folder import RunFolder

MODELS = ("gan", "wgan", "wgan_gp", "cgan")
COMMON = ["data=ring", "network=mlp", "network.width=128", "batch_size=128", "prior.dim=2"]
COMMON += ["ema.decay=0.99", "optimizer.lr=2e-3", "optimizer.schedule=linear", "callbacks=samples"]
COMMON += ["sample_every=100", "log_every=10", "runtime.threads=1"]


def runs(model: str, seeds: int, steps: int, folder: Path) -> list[dict[str, Any]]:
    """Train a model's seeds; what each run said and captured."""
    line = [sys.executable, "-m", "gan_cli", "train", "-m", f"model={model}", f"steps={steps}"]
    line += [*COMMON, f"seed=range(0,{seeds})", f"sweep.dir={folder}", f"evaluation.every={steps}"]
    line += ["evaluation.metrics=[modes]", "evaluation.samples=2500"]
    line += ["penalty.weight=0.1"] if model == "wgan_gp" else []
    subprocess.run(line, check=True)
    found = []
    for path in sorted(folder.glob("*/status.json")):
        status = RunFolder(path.parent).read_status()
        lines = (path.parent / "metrics.jsonl").read_text("utf-8").splitlines()
        modes = [json.loads(line).get("metrics/modes_captured") for line in lines]
        found.append(
            {
                "model": model,
                "run": path.parent.name,
                "alarms": [[one["name"], one["step"]] for one in status.get("alarms") or []],
                "modes": next(value for value in reversed(modes) if value is not None),
            }
        )
    return found


def main() -> None:
    """Train, count and print."""
    parser = argparse.ArgumentParser(description="Alarms of healthy runs.")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found: list[dict[str, Any]] = []
    if options.out is not None and options.out.exists():
        found = json.loads(options.out.read_text())
    for model in options.models:
        with tempfile.TemporaryDirectory() as folder:
            made = runs(model, options.seeds, options.steps, Path(folder) / "sweep")
        found = [one for one in found if one["model"] != model] + made
        if options.out is not None:
            files.write(options.out, json.dumps(found, indent=1) + "\n")
    print("| model | runs | runs with 8 modes | alarms of those | of the others |")
    print("|---|---|---|---|---|")
    for model in dict.fromkeys(one["model"] for one in found):
        mine = [one for one in found if one["model"] == model]
        cells = []
        for whole in (True, False):
            part = [one for one in mine if (one["modes"] == 8) == whole]
            names = Counter(name for one in part for name, _ in one["alarms"])
            cells.append(", ".join(f"{n} {k}" for k, n in names.items()) or "none")
        whole = sum(one["modes"] == 8 for one in mine)
        print(f"| {model} | {len(mine)} | {whole} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()
