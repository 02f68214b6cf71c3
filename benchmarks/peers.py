"""The published scripts themselves, unmodified, in turns with gan-train over the same networks.

    python -m benchmarks.peers --examples DIR --pytorch-gan DIR [--cases dcgan,wgan] [--steps 200]
        [--rounds 3] [--out FILE.json]

DIR are checkouts of pytorch/examples and eriklindernoren/PyTorch-GAN. Each program runs as a user
starts it, in a process of its own, until it has made that many steps. Compared are the seconds
from the command to the first step and to the last, the images per second in between, and the peak
of memory of all its processes. A step of a WGAN is one of the generator, with five of the critic.
Where torchvision is not installed, `benchmarks/stand_in` has what the scripts use of it.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gan_cli.device import describe

PROJECT = Path(__file__).parents[1]
STEP = re.compile(r"\[D loss: |Loss_D: ")  # what the scripts print with every step


@dataclass(frozen=True)
class Case:
    """A script, and our command for the same."""

    script: str  # within its checkout
    overrides: str  # of gan-train
    arguments: str = ""
    examples: bool = False  # of pytorch/examples
    images: int = 64  # of data in a step


CASES = {
    "examples_dcgan": Case(
        "dcgan/main.py",
        "model=dcgan data=mnist data.size=64 network=dcgan batch_size=64",
        "--dataset mnist --dataroot . --imageSize 64 --batchSize 64 --outf .",
        examples=True,
    ),
    "dcgan": Case(
        "implementations/dcgan/dcgan.py",
        "model=dcgan data=mnist data.size=32 network=pytorch_gan batch_size=64",
    ),
    "wgan": Case(
        "implementations/wgan/wgan.py",
        "model=wgan data=mnist network=pytorch_mlp batch_size=64",
        images=5 * 64,
    ),
    "wgan_gp": Case(
        "implementations/wgan_gp/wgan_gp.py",
        "model=wgan_gp data=mnist network=pytorch_mlp batch_size=64",
        images=5 * 64,
    ),
    "cgan": Case(
        "implementations/cgan/cgan.py",
        "model=cgan data=mnist data.size=32 network=pytorch_mlp batch_size=64",
    ),
    "infogan": Case(
        "implementations/infogan/infogan.py",
        "model=infogan data=mnist data.size=32 network=pytorch_gan batch_size=64",
    ),
}


@dataclass(frozen=True)
class Timing:
    """What one program took."""

    first: float  # seconds from the command to the first step
    last: float  # and to the last
    megabytes: float  # of all its processes together, at most

    def rate(self, case: Case, steps: int) -> float:
        """Images per second between the first and the last step."""
        return case.images * (steps - 1) / (self.last - self.first)


def script(case: Case, checkout: Path, steps: int) -> Timing:
    """Run a published script until it has printed `steps` steps."""
    path = checkout / case.script
    environment = dict(os.environ, PYTHONUNBUFFERED="1")
    paths = [str(PROJECT)]
    if importlib.util.find_spec("torchvision") is None:
        paths.append(str(PROJECT / "benchmarks" / "stand_in"))
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "implementations" / "script"  # the scripts write to ../../data
        place.mkdir(parents=True)
        command = [sys.executable, str(path), *case.arguments.split()]
        return watched(command, environment, place, steps)


def watched(command: list[str], environment: dict[str, str], folder: Path, steps: int) -> Timing:
    """Start a program, and stop it when it has printed `steps` lines of steps.

    Raises:
        SystemExit: it ended before.
    """
    begun, times, peak = time.perf_counter(), [], 0.0
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        tail: list[str] = []
        try:
            for line in process.stdout:
                tail = [*tail[-20:], line]
                times += [time.perf_counter() - begun] * len(STEP.findall(line))
                if len(times) in (2, steps):
                    peak = max(peak, memory(process.pid))
                if len(times) >= steps:
                    return Timing(times[0], times[steps - 1], peak)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    raise SystemExit(f"{' '.join(command)} ended early:\n{''.join(tail)}")


def memory(group: int) -> float:
    """The peak megabytes of the processes of a group that are alive, shared pages counted once."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            if os.getpgid(int(status.parent.name)) != group:
                continue
            kilobytes = dict(re.findall(r"^(\w+):\s*(\d+) kB", status.read_text(), re.MULTILINE))
        except OSError:  # it has ended
            continue
        if "VmHWM" in kilobytes:
            first = int(status.parent.name) == group
            total += int(kilobytes["VmHWM"]) - (0 if first else int(kilobytes["RssFile"]))
    return total / 1e3


def ours(case: Case, steps: int) -> Timing:
    """Run gan-train for `steps` steps, logging at every one, as the scripts do."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "gan_cli", "train", *case.overrides.split()]
        command += ["--config-dir", str(PROJECT / "benchmarks" / "conf"), f"run.dir={run}"]
        command += [f"steps={steps}", "log_every=1", "sample_every=400"]
        environment = dict(os.environ, PYTHONPATH=str(PROJECT))
        begun = time.time()
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        lines = (run / "metrics.jsonl").read_text().splitlines()
    points = {point["step"]: point for point in map(json.loads, lines)}
    peak = max(point.get("memory/own_megabytes", 0.0) for point in points.values())
    files = max(point.get("memory/files_megabytes", 0.0) for point in points.values())
    return Timing(points[1]["time"] - begun, points[steps]["time"] - begun, peak + files)


def compared(name: str, checkout: Path, steps: int, rounds: int) -> dict[str, Any]:
    """Both programs in turns; medians."""
    case = CASES[name]
    theirs, mine = [], []
    for _ in range(rounds):
        theirs.append(script(case, checkout, steps))
        mine.append(ours(case, steps))

    def middle(runs: list[Timing]) -> dict[str, float]:
        return {
            "images_per_second": statistics.median(run.rate(case, steps) for run in runs),
            "seconds_to_first_step": statistics.median(run.first for run in runs),
            "seconds_to_last_step": statistics.median(run.last for run in runs),
            "peak_megabytes": statistics.median(run.megabytes for run in runs),
        }

    ratios = [b.rate(case, steps) / a.rate(case, steps) for a, b in zip(theirs, mine, strict=True)]
    return {"script": middle(theirs), "ours": middle(mine), "speedup": statistics.median(ratios)}


def main() -> None:
    """Print a line per case, and write them all to a file."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--examples", type=Path, help="checkout of pytorch/examples")
    parser.add_argument("--pytorch-gan", type=Path, help="checkout of PyTorch-GAN")
    parser.add_argument("--cases", default=",".join(CASES), help=f"of {', '.join(CASES)}")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hardware", help="in words, for the file")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows: dict[str, Any] = {}
    print(f"{'case':16}{'images/s':>20}{'speedup':>9}{'first step, s':>16}{'all, s':>16}{'MB':>14}")
    for name in options.cases.split(","):
        checkout = options.examples if CASES[name].examples else options.pytorch_gan
        if checkout is None:
            print(f"{name:16} left out: its checkout is not given")
            continue
        row = rows[name] = compared(name, checkout.resolve(), options.steps, options.rounds)
        old, new = row["script"], row["ours"]
        pairs = [
            f"{old[key]:,.{digits}f} {new[key]:,.{digits}f}"
            for key, digits in (
                ("images_per_second", 0),
                ("seconds_to_first_step", 1),
                ("seconds_to_last_step", 1),
                ("peak_megabytes", 0),
            )
        ]
        rate, first, last, peak = pairs
        print(
            f"{name:16}{rate:>20}{row['speedup']:9.2f}{first:>16}{last:>16}{peak:>14}", flush=True
        )
    if options.out:
        said = {
            "date": datetime.date.today().isoformat(),
            "hardware": options.hardware or describe(device),
            "torch": torch.__version__,
            "steps": options.steps,
            "rounds": options.rounds,
            "cases": rows,
        }
        options.out.write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
