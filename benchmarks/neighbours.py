"""The cost of a busy neighbour, and what our count of spins (gan_cli/__init__.py) saves then.

    python benchmarks/neighbours.py [--rounds 3] [overrides of gan-train ...]

Trains with all cores, by libgomp's own count (GOMP_SPINCOUNT=300000) and by ours in turns, first
alone and then beside a process that keeps one core busy, and prints the median time of a step. Then
with the threads that a run chooses by its trial: alone, two runs at once, and beside the process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

SPINS = {"libgomp's": {"GOMP_SPINCOUNT": "300000"}, "ours": {}}
DEFAULT = ["experiment=divergence", "steps=300"]


@contextmanager
def neighbour(busy: bool) -> Iterator[None]:
    """Keep one core busy, or not."""
    if not busy:
        yield
        return
    # In a session of its own, as from another terminal: Linux shares time out among sessions.
    loop = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    pass"
    with subprocess.Popen([sys.executable, "-c", loop], start_new_session=True) as process:
        try:
            yield
        finally:
            process.kill()


def seconds_per_step(overrides: list[str], more: dict[str, str]) -> float:
    """Of one training, in its last stretch of curves."""
    names = ("GOMP_SPINCOUNT", "OMP_NUM_THREADS", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    with tempfile.TemporaryDirectory() as folder:
        run = f"run.dir={folder}/run"
        quiet = ["sample_every=1000000", "film=false"]
        subprocess.run(
            [sys.executable, "-m", "gan_cli.commands.train", *quiet, *overrides, run],
            env=environment | more,
            check=True,
            capture_output=True,
        )
        lines = Path(folder, "run", "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return json.loads(lines[-1])["speed/seconds_per_step"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    options, overrides = parser.parse_known_args()
    chosen = overrides or DEFAULT
    cores = [f"runtime.threads={os.cpu_count()}", *chosen]
    for busy in (False, True):
        found: dict[str, list[float]] = {name: [] for name in SPINS}
        with neighbour(busy):
            for _ in range(options.rounds):
                for name, more in SPINS.items():
                    found[name].append(seconds_per_step(cores, more))
        medians = {name: statistics.median(values) for name, values in found.items()}
        listed = ", ".join(f"{name} {1e3 * value:.1f} ms" for name, value in medians.items())
        ratio = medians["libgomp's"] / medians["ours"]
        print(f"{'beside a busy one' if busy else 'alone'}: {listed}; {ratio:.2f} times as fast")
    seconds_per_step(chosen, {})  # the trial, whose result is kept
    times: dict[str, list[float]] = {"alone": [], "two at once": [], "beside a busy one": []}
    for _ in range(options.rounds):
        times["alone"].append(seconds_per_step(chosen, {}))
        with ThreadPoolExecutor(2) as both:
            times["two at once"] += both.map(seconds_per_step, [chosen] * 2, [{}] * 2)
        with neighbour(busy=True):
            times["beside a busy one"].append(seconds_per_step(chosen, {}))
    alone = statistics.median(times["alone"])
    for name, values in times.items():
        value = statistics.median(values)
        print(f"threads by trial, {name}: {1e3 * value:.1f} ms, {value / alone:.2f} times")


if __name__ == "__main__":
    main()
