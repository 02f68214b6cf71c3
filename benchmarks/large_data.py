"""Memory stays constant on an image folder of any size: a simulation.

    python benchmarks/large_data.py [--images 10000 1000000] [--steps 200] [--folder /tmp]

For each number of images a folder of that many empty files stands for the images, and a sparse file
(12 GB for a million at 3 x 64 x 64) for the cache of decoded pixels; `gan-train data=folder` then
finds its cache, as a second run on real images would. Printed are what the process keeps in memory
along the run (`memory/` of its curves), the largest it ever was, CPU time and speed.

Then two comparisons, interleaved, on a real file: rows read against rows of a mapped file, and
batches fetched ahead against batches fetched when they are wanted, each with the file in the
system's cache and out of it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from gan_cli.data import dataset
from gan_cli.data.dataset import Dataset, Rows
from gan_cli.data.folder_cache import FolderCache, Index
from gan_cli.data.scan import scan
from gan_cli.data.stream import Stream

SHAPE = (3, 64, 64)
BATCH = 64
FOLDERS = 10
REAL = 40_000  # images of the comparisons
CODE = "import sys; from gan_cli.commands.train import compose; sys.exit(compose(sys.argv[1:]))"


def pretend(images: int, place: Path) -> Path:
    """A folder of empty image files whose cache, in `place`/cache, is complete and sparse."""
    root = place / "images"
    for number in range(FOLDERS):
        (root / str(number)).mkdir(parents=True)
    for number in range(images):
        os.close(os.open(root / str(number % FOLDERS) / f"{number:07}.png", os.O_CREAT))
    cache, entries = FolderCache(root, SHAPE[1:], SHAPE[0]), scan(root).entries
    cache.home = place / "cache" / "folders"
    cache.remember(entries, "simulated")
    folder = cache.home / "simulated"
    folder.mkdir()
    index = Index((images, *SHAPE), tuple(entry.path for entry in entries), (), "simulated")
    (folder / "index.json").write_text(json.dumps(asdict(index)))
    with (folder / "pixels").open("wb") as file:
        file.truncate(images * SHAPE[0] * SHAPE[1] * SHAPE[2])
    return root


def train(images: int, steps: int, place: Path) -> None:
    """Train on a number of images, and print the memory and time."""
    begun = time.monotonic()
    root = pretend(images, place)
    print(f"{images:,} images: simulated in {time.monotonic() - begun:.0f} s", flush=True)
    every = max(steps // 10, 1)
    line = ["data=folder", f"data.root={root}", "data.size=64", "data.channels=3", f"steps={steps}"]
    line += ["network.width=8", f"batch_size={BATCH}", f"log_every={every}", f"run.dir={place}/run"]
    line += ["runtime.device=cpu"]
    begun, before = time.monotonic(), children()
    with subprocess.Popen(
        [sys.executable, "-c", CODE, *line],
        env={**os.environ, "GAN_CLI_CACHE": str(place / "cache")},
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        peak, noise = 0.0, ""
        while child.poll() is None:
            peak = max(peak, high_water(child.pid))
            time.sleep(0.2)
        noise = child.stderr.read() if child.stderr else ""
    if child.returncode:
        sys.exit(noise)
    cpu = children() - before
    points = [json.loads(text) for text in (place / "run" / "metrics.jsonl").open()]
    print("    step   own MB  files MB  images/s")
    for point in points:
        own, files = point["memory/own_megabytes"], point["memory/files_megabytes"]
        speed = point["speed/images_per_second"]
        print(f"  {int(point['step']):6,} {own:8.0f} {files:9.0f} {speed:9.0f}")
    print(f"  most ever {peak:.0f} MB; {cpu:.1f} s of CPU time, {time.monotonic() - begun:.0f} s")


def children() -> float:
    """CPU seconds of processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def high_water(process: int) -> float:
    """The most memory that a process has had, in MB; 0 where it has ended."""
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) * 1024 / 1e6 if found else 0.0


class Table(Dataset):
    """Images in a file, mapped or read."""

    def __init__(self, path: Path, rows: bool) -> None:
        values = np.memmap(path, np.uint8, mode="c", shape=(REAL, *SHAPE))
        super().__init__(
            "table", torch.from_numpy(values), rows=Rows(path, SHAPE) if rows else None
        )


def compare(place: Path, rounds: int) -> None:
    """Print the two comparisons as medians of ratios."""
    path = place / "pixels"
    with path.open("wb") as file:
        for _ in range(REAL // 1000):
            file.write(os.urandom(1000 * SHAPE[0] * SHAPE[1] * SHAPE[2]))
        file.flush()
        os.fsync(file.fileno())
    for cold in (False, True):
        name = "out of" if cold else "in"
        mapped, read = Table(path, rows=False), Table(path, rows=True)
        ratios = interleaved(path, cold, rounds, seconds(mapped), seconds(read))
        print(f"file {name} the system's cache: mapped / read {statistics.median(ratios):.2f}")
        far = dataset.total_memory
        plain = Stream(read, BATCH, 0)
        dataset.total_memory = lambda: 0
        ahead = Stream(read, BATCH, 0)
        dataset.total_memory = far
        ratios = interleaved(path, cold, rounds, steps_of(plain), steps_of(ahead))
        print(f"file {name} the system's cache: in turn / ahead {statistics.median(ratios):.2f}")


def interleaved(
    path: Path,
    cold: bool,
    rounds: int,
    first: Callable[[int], float],
    second: Callable[[int], float],
) -> list[float]:
    """The ratio of times in each round, first to second."""
    ratios = []
    for number in range(rounds + 1):
        pair = []
        for work in (first, second):
            if cold:
                with path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            pair.append(work(number))
        ratios.append(pair[0] / pair[1])
    return ratios[1:]


def seconds(table: Table) -> Callable[[int], float]:
    """Only gathers batches."""

    def work(number: int) -> float:
        generator = torch.Generator().manual_seed(number)
        begun = time.monotonic()
        for _ in range(100):
            table.real(torch.randint(REAL, (BATCH,), generator=generator))
        return time.monotonic() - begun

    return work


def steps_of(stream: Stream) -> Callable[[int], float]:
    """Gathers batches and computes with each."""
    layer = torch.nn.Conv2d(3, 32, 4, 2, 1)

    def work(number: int) -> float:
        begun = time.monotonic()
        for k in range(100 * number, 100 * number + 100):
            layer(stream.batch(k).real).square().mean().backward()
        return time.monotonic() - begun

    return work


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Memory and speed on large image folders.")
    parser.add_argument("--images", type=int, nargs="*", default=[10_000, 1_000_000])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="where to work; sparse files must be possible")
    arguments = parser.parse_args()
    for images in arguments.images:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
            train(images, arguments.steps, Path(place).resolve())
    with tempfile.TemporaryDirectory(dir=arguments.folder) as place:
        compare(Path(place), arguments.rounds)


if __name__ == "__main__":
    main()
