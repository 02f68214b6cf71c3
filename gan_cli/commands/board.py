"""`gan-board RUNS`: runs in TensorBoard."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gan_cli.options import Parser, whole

EXAMPLES = """\
examples:
  gan-board                   all runs below runs/, in a browser at the address that is printed
  gan-board latest            one run: a folder, part of its name, or latest
  gan-board runs/wgan-mnist --port 6007

Ctrl-C ends it. gan-watch shows a table in the terminal instead.
"""
KEPT = "images=100,scalars=10000"  # of each tag; TensorBoard alone keeps ten images


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser("gan-board", "Show runs in TensorBoard.", EXAMPLES)
    text = "a run, or a folder of runs (default: runs)"
    made.add_argument("runs", nargs="?", metavar="RUNS", help=text)
    made.add_argument("--port", type=whole(0), default=6006, metavar="N", help="default: 6006")
    made.add_argument("--host", default="localhost", help="0.0.0.0: also for other machines")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; exits with TensorBoard's status, or 2 where there is no such run."""
    from gan_cli.exits import program

    program(lambda: serve(parser().parse_args(arguments)))


def serve(options: argparse.Namespace) -> int:
    """Become TensorBoard, which serves until it is stopped.

    Raises:
        CheckpointError: there is no such run.
        ConfigError: no run was trained here.
    """
    from gan_cli.errors import ConfigError
    from gan_cli.runs.folder import DEFAULT_ROOT
    from gan_cli.runs.lookup import find

    folder = Path(options.runs or DEFAULT_ROOT)
    if not folder.is_dir():
        if options.runs is None:
            raise ConfigError(f"{folder}/: no such folder here; gan train makes the first run")
        folder = find(folder).path
    words = ["--logdir", str(folder), "--samples_per_plugin", KEPT]
    words += ["--port", str(options.port), "--host", options.host]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "tensorboard.main", *words])


if __name__ == "__main__":
    main()
