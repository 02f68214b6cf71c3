"""One chart of a curve of several runs, as the documentation shows them.

    python -m benchmarks.curves OUT.png TAG [TAG ...] --runs NAME=RUN [NAME=RUN ...]

TAG is a curve of metrics.jsonl, such as gradient_norm/generator. With several tags each line is
named after its run and its tag's last word. --log shows powers of ten, --until STEP the beginning.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from gan_cli.images import write_png
from gan_cli.model import Lines
from gan_cli.plots import views

LEAST = 1e-12  # what a logarithm is taken of


def read(run: Path, tag: str) -> tuple[np.ndarray, np.ndarray]:
    """The steps and values of a curve."""
    with (run / "metrics.jsonl").open() as file:
        rows = [json.loads(line) for line in file]
    points = [(row["step"], row[tag]) for row in rows if tag in row]
    if not points:
        raise SystemExit(f"{run}: no curve {tag}")
    steps, values = zip(*points, strict=True)
    return np.array(steps, dtype=float), np.array(values, dtype=float)


def main() -> None:
    """Draw."""
    style = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style)
    parser.add_argument("out", type=Path)
    parser.add_argument("tags", nargs="+")
    parser.add_argument("--runs", nargs="+", required=True, metavar="NAME=RUN")
    parser.add_argument("--log", action="store_true", help="logarithms to the base of ten")
    parser.add_argument("--until", type=int, help="the last step shown")
    options = parser.parse_args()
    found = {}
    for text in options.runs:
        name, _, run = text.partition("=")
        for tag in options.tags:
            word = tag.rpartition("/")[2]
            found[name if len(options.tags) == 1 else f"{name}, {word}"] = read(Path(run), tag)
    steps = np.unique(np.concatenate([curve[0] for curve in found.values()]))
    steps = steps[steps <= (options.until or steps[-1])]
    curves = {}
    for name, (at, values) in found.items():
        shown = np.log10(np.maximum(values, LEAST)) if options.log else values
        curves[name] = torch.from_numpy(np.interp(steps, at, shown))
    words = "step (heights: log10)" if options.log else "step"
    write_png(options.out, views.draw(Lines(torch.from_numpy(steps), curves, words)))


if __name__ == "__main__":
    main()
