"""Run folders as training leaves them, written in a moment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from gan_cli.config.settings import settings_of
from gan_cli.runs.folder import RunFolder

SETTINGS = ("data=ring", "network=mlp", "steps=40", "runtime.threads=1")


@cache
def config(*overrides: str) -> str:
    """config.yaml of a run of these overrides."""
    from gan_cli.config.settings import to_yaml

    settings = [line for line in SETTINGS if line != "steps=40" or "epochs=3" not in overrides]
    return to_yaml(settings_of(*settings, *overrides))


def write_run(
    path: Path,
    *overrides: str,
    seed: int = 0,
    values: Mapping[int, float | str] | None = None,
    name: str = "energy_distance",
    better: str = "lower",
    status: str = "finished",
    error: str | None = None,
    **protocol: Any,
) -> RunFolder:
    """A run with losses and, at the steps of `values`, metrics and pictures."""
    run = RunFolder(path)
    for folder in (run.checkpoints, run.samples, run.evaluations):
        folder.mkdir(parents=True)
    settings = yaml.safe_load(config(*overrides))
    run.write_config(yaml.safe_dump({**settings, "seed": seed}, sort_keys=False))
    values = {20: 2.0, 40: 1.0} if values is None else values
    last = max(values, default=0)
    points: list[dict[str, Any]] = [
        {
            "step": step,
            "time": 1000 + step,
            "loss/generator": 1 + seed / 10 + step / 100,
            "loss/discriminator": 2 - step / 100,
            "speed/images_per_second": 640.0 + step,
            "speed/seconds_per_step": 0.1,
        }
        for step in range(10, last + 1, 10)
    ]
    points += [{"step": step, "time": 2000, f"metrics/{name}": v} for step, v in values.items()]
    run.metrics.write_text("".join(json.dumps(point) + "\n" for point in points))
    for step, value in values.items():
        figure = {
            "name": name,
            "value": value,
            "better": better,
            "floor": 0.01,
            "protocol": {"samples": 100, "seed": 0, "split": "train", **protocol},
        }
        content = {"run": str(path), "step": step, "weights": "ema", "figures": [figure]}
        (run.evaluations / f"step_{step:08d}.json").write_text(json.dumps(content))
        shade = (40 * seed + 4 * step) % 256
        Image.new("RGB", (16, 16), (shade, 90, 160)).save(run.samples / f"fixed-{step:08d}.png")
    run.write_status(status, last, steps=40, error=error)
    return run


def sweep(root: Path, seeds: int = 3) -> None:
    """Two models, two priors, some seeds: gan is better by 1, uniform by .2."""
    for model, shift in (("gan", 0.0), ("wgan", 1.0)):
        for prior, gain in (("gaussian", 0.0), ("uniform", -0.2)):
            for seed in range(1, seeds + 1):
                final = 1 + shift + gain + 0.03 * seed
                write_run(
                    root / f"{model}-{prior}-{seed}",
                    f"model={model}",
                    f"prior={prior}",
                    seed=seed,
                    values={20: final + 0.5, 40: final},
                )
