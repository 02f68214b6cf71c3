"""A stand-in for `gan_cli.commands.train`: writes the files of a run, in no time.

The metric is |log10(optimizer.lr) + 3| + seed/10 + 1/step. `model.d_steps` chooses what happens:
2 fails, 3 diverges after the first point, 4 waits at step 3 for a file `open` in the working
directory, which `waiting` asks for; 5 is killed; 6 finds the disk full until there is a file `room`
in the working directory. Only the standard library is imported.
"""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import sys
import time
from pathlib import Path

DISK_FULL = os.strerror(errno.ENOSPC)
ENOUGH = 200.0  # seconds after which it gives up


def main() -> None:
    """Run the steps that an earlier start did not reach."""
    given = {key: text for key, _, text in (word.partition("=") for word in sys.argv[1:])}
    run = Path(given["run.dir"])
    every, steps = int(given["evaluation.every"]), int(given["steps"])
    way = given.get("model.d_steps", "1")
    if way == "2":
        print("error: data.root = nowhere: no such folder", file=sys.stderr)
        sys.exit(2)
    run.mkdir(exist_ok=True)
    (run / "config.yaml").write_text(f"{json.dumps(given)}\n", encoding="utf-8")
    done = json.loads((run / "state").read_text()) if (run / "state").exists() else 0
    stopped = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.append(1))
    miss = abs(math.log10(float(given["optimizer.lr"])) + 3) + int(given["seed"]) / 10
    with (run / "metrics.jsonl").open("a", encoding="utf-8") as file:
        if done == 0:
            write_point(file, 0, 99.0)
        for step in range(done + 1, steps + 1):
            if step % every == 0:
                write_point(file, step, math.nan if way == "3" else miss + 1 / step)
            if way == "3":
                status(run, "failed", step, error=f"step {step}: the run has diverged")
                sys.exit(1)
            if way == "6" and not Path("room").exists():
                status(run, "failed", step, error=f"{run}: cannot be written: {DISK_FULL}")
                sys.exit(1)
            if way == "5":
                os.kill(os.getpid(), signal.SIGKILL)
            if way == "4" and step == 3:
                wait(stopped)
            if stopped:
                status(run, "interrupted", step)
                (run / "half").write_text(str(step), encoding="utf-8")
                (run / "half").replace(run / "state")
                sys.exit(130)
    best = {"figure": "wasserstein_1", "better": "lower", "value": 0.0, "step": steps}
    status(run, "finished", steps, best=best)


def wait(stopped: list[int]) -> None:
    """Until the file `open` is there or a signal came; exits when neither happens."""
    Path("waiting").touch()
    until = time.monotonic() + ENOUGH
    while not Path("open").exists() and not stopped:
        if time.monotonic() > until:
            sys.exit(f"error: nobody opened within {ENOUGH} s")
        time.sleep(0.01)


def write_point(file, step: int, value: float) -> None:
    """Write a point."""
    shown = value if math.isfinite(value) else str(value)
    print(json.dumps({"step": step, "time": 0, "metrics/wasserstein_1": shown}), file=file)
    file.flush()


def status(run: Path, state: str, step: int, **more: object) -> None:
    """Write the status of the run."""
    (run / "status.json").write_text(
        json.dumps({"status": state, "step": step, "error": None, **more}), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
