"""The cost of the start up to the first step, part by part, in seconds of CPU time.

    python benchmarks/startup.py [--rounds 5] [overrides of gan-train ...]

CPU time (user and system) and not the clock's, so that other work on the machine counts less; it
still makes caches colder and cores slower, so `import torch` alone is measured beside it in every
round. Parts are imported in the order in which a run needs them, so what two share is the first's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

COMMANDS = ("train", "sample", "eval")


def spent() -> float:
    """CPU seconds of this process so far."""
    times = os.times()
    return times.user + times.system


def first_step(arguments: list[str]) -> None:
    """Train until the first step is done, print the parts as JSON and end."""
    parts = {"interpreter": spent()}

    def counted(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any, **more: Any) -> Any:
            before = spent()
            try:
                return work(*given, **more)
            finally:
                parts[name] = parts.get(name, 0.0) + spent() - before

        return run

    counted("torch", lambda: __import__("torch"))()
    counted("hydra", lambda: __import__("hydra"))()
    counted("gan_cli", lambda: __import__("gan_cli.training.run"))()
    from gan_cli.commands import train
    from gan_cli.config import settings
    from gan_cli.training import setup
    from gan_cli.training.trainer import Trainer

    build, advance = setup.build, Trainer.advance

    def by_name(node: Any, path: str, *given: Any, **more: Any) -> Any:
        name = path if path in ("data", "model") else "optimizers"
        return counted(name, build)(node, path, *given, **more)

    def last(self: Trainer, measure: bool = False) -> NoReturn:
        counted("first step", advance)(self, measure)
        total = spent()
        parts["validation, pictures, files"] = total - sum(parts.values())
        print(json.dumps({**parts, "total": total}), flush=True)
        os._exit(0)

    settings.composed = counted("compose", settings.composed)
    setup.build = by_name
    Trainer.advance = last
    train.compose(arguments)


def child(command: list[str]) -> tuple[float, str]:
    """The CPU seconds of a process and what it printed."""
    before = os.times()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    after = os.times()
    if done.returncode:
        sys.exit(done.stderr)
    user = after.children_user - before.children_user
    return user + after.children_system - before.children_system, done.stdout


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The cost of a start.")
    parser.add_argument("--rounds", type=int, default=5)
    arguments, overrides = parser.parse_known_args()
    rows: list[dict[str, float]] = []
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            line = [sys.executable, __file__, "--first-step", f"run.root={folder}", *overrides]
            row = json.loads(child(line)[1].splitlines()[-1])
        row["import torch alone"] = child([sys.executable, "-c", "import torch"])[0]
        row["ratio"] = row["total"] / row["import torch alone"]
        for command in COMMANDS:
            row[f"{command} --help"] = child([sys.executable, "-m", "gan_cli", command, "--help"])[
                0
            ]
        rows.append(row)
    for name in rows[0]:
        print(f"{name:30} {statistics.median(row[name] for row in rows):6.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--first-step"]:
        sys.path[0] = str(Path(__file__).parent.parent)
        first_step(sys.argv[2:])
    else:
        main()
