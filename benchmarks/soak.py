"""Memory, file handles, threads and disk of a long training and of a sweep of many tiny jobs.

    python -m benchmarks.soak [--minutes 60] [--jobs 500] [--out FILE.json]

Both are ordinary commands, whose processes are sampled from /proc (Linux) in the meantime: of the
training itself, and of the sweep and what it keeps running. Flat means that the means of the last
quarter of the samples are those of the second quarter; of those samples at which most processes
run, so that the start and the end of a sweep do not count. The disk of a training grows by its
curves and pictures alone, as checkpoints are bounded by `checkpoint.keep`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean

from gan_cli import files

COMMON = ["network=mlp", "network.width=32", "batch_size=64", "runtime.threads=1", "data=ring"]
COMMON += ["runtime.device=cpu", "model=gan", "evaluation.samples=500"]
LONG = [*COMMON, "steps=100000000", "log_every=50", "sample_every=500", "evaluation.every=500"]
LONG += ["evaluation.metrics=[points]", "checkpoint.every=500", "checkpoint.keep=3", "film=false"]
TINY = [*COMMON, "steps=5", "log_every=5", "evaluation.every=null", "sample_every=null"]
NAMES: tuple[str, ...] = ("resident_mb", "handles", "threads", "processes", "disk_mb")
Sample = dict[str, float]


def tree(root: int) -> list[int]:
    """A process and all that it has started."""
    found = [root]
    for parent in found:
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, path.read_text().split())
            except OSError:  # it has just ended
                continue
    return found


def sample(root: int, folder: Path) -> Sample:
    """The resources of a process and its children, and the disk that `folder` takes."""
    found = dict.fromkeys(NAMES, 0.0)
    for pid in tree(root):
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            status = Path(f"/proc/{pid}/status").read_text()
            handles = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
        except OSError:
            continue
        found["resident_mb"] += pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        found["handles"] += handles
        found["threads"] += int(status.split("Threads:")[1].split()[0])
        found["processes"] += 1
    found["disk_mb"] = sum(size(path) for path in folder.rglob("*")) / 1e6
    return found


def size(path: Path) -> int:
    """Bytes that a file takes; each link to the same bytes counts its share."""
    try:
        found = path.lstat()
    except OSError:
        return 0
    return found.st_blocks * 512 // max(1, found.st_nlink) if path.is_file() else 0


def watched(
    arguments: Sequence[str], folder: Path, every: float, over: Callable[[float], bool]
) -> tuple[list[Sample], int]:
    """Samples of a command until it ends, or is asked to by SIGTERM once `over` of the seconds."""
    line = [sys.executable, "-m", "gan_cli", "train", *arguments]
    samples: list[Sample] = []
    begun = time.monotonic()
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(line, stdout=output, stderr=output)
    while process.poll() is None:
        time.sleep(every)
        seconds = time.monotonic() - begun
        if process.poll() is None:
            samples.append({"seconds": round(seconds, 1), **sample(process.pid, folder)})
        if over(seconds):
            process.terminate()
            process.wait(120)
    return samples, process.returncode


def quarters(samples: Sequence[Sample], name: str) -> tuple[float, float, float]:
    """The means of the second and the last quarter of the samples, and the largest value."""
    most = max(one["processes"] for one in samples)
    values = [one[name] for one in samples if one["processes"] == most]
    n = max(1, len(values) // 4)
    return mean(values[n : 2 * n]), mean(values[-n:]), max(values)


def table(found: dict[str, list[Sample]]) -> str:
    """The quarters, in Markdown."""
    lines = ["| of | second quarter | last quarter | most |", "|---|---|---|---|"]
    for what, samples in found.items():
        for name in NAMES:
            cells = " | ".join(f"{value:,.1f}" for value in quarters(samples, name))
            lines.append(f"| {what}: {name} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    """Run both, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    found: dict[str, list[Sample]] = {}
    about: dict[str, object] = {"minutes": options.minutes, "jobs": options.jobs}
    with tempfile.TemporaryDirectory() as place:
        for name, every in (("training", 5.0), ("sweep", 2.0)):
            folder = Path(place) / name
            folder.mkdir()
            if name == "training":
                line = [*LONG, f"run.dir={folder / 'run'}"]
                found[name], status = watched(
                    line, folder, every, lambda seconds: seconds > 60 * options.minutes
                )
                state = json.loads((folder / "run" / "status.json").read_text())
                about |= {"training_exit_status": status, "steps": state["step"]}
            else:
                line = [
                    "-m",
                    *TINY,
                    f"seed=range(0,{options.jobs})",
                    f"sweep.dir={folder / 'jobs'}",
                ]
                line += ["runtime.together=false"]
                found[name], status = watched(line, folder, every, lambda seconds: False)
                jobs = json.loads((folder / "jobs" / "sweep.json").read_text())["jobs"]
                done = sum(job["state"] == "finished" for job in jobs)
                about |= {"sweep_exit_status": status, "jobs_finished": done}
            if options.out is not None:
                files.write(options.out, json.dumps({"about": about, "samples": found}, indent=1))
    print(about)
    print(table(found))


if __name__ == "__main__":
    main()
