"""`gan-eval RUN`: figures of a trained model, each with the protocol behind it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from gan_cli.options import Parser, add_model_options, whole

EXAMPLES = """\
examples:
  gan-eval runs/dcgan-mnist/20250601-120000-6a5a163c      all that fits and is quick
  gan-eval RUN --metrics fid,kid --inception weights.pth  with Inception
  gan-eval RUN --metrics all --samples 50000 --split test
  gan-eval runs/*/* --json -                              for programs: a list, one object per run
  gan-eval --metrics list                                 what there is

Figures, protocols and pictures are also kept in the run's evaluations/. They depend on the
checkpoint, the data, the seed and the number of samples: not on --batch-size.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = Parser("gan-eval", "Evaluate runs.", EXAMPLES)
    add = made.add_argument
    add("run", nargs="*", metavar="RUN", help="a run folder, or a file in it; several may be given")
    add("--metrics", default="auto", metavar="LIST", help="names, auto (default), all, or list")
    add("--samples", type=whole(2), metavar="N", help="to draw (default: 10000)")
    add("--seed", type=int, default=0, metavar="N", help="of the samples (default: 0)")
    add(
        "--split",
        choices=("train", "test"),
        default="train",
        help="the real data to compare with (default: train, as most papers do)",
    )
    add(
        "--json",
        nargs="?",
        const="-",
        metavar="PATH",
        help="write the figures as JSON, to the screen (-, then without a table) or a file",
    )
    add("--inception", metavar="PATH", help="pt_inception-2015-12-05-6726825d.pth")
    add("--data-root", metavar="DIR", help="where the data is now, if it has moved")
    add(
        "--self-check",
        metavar="DIR",
        help="instead of runs: FID of CIFAR-10's train against its test images, near 3.15",
    )
    add_model_options(made)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; exits with 0, 2 (wrong input), 130 (interrupted) or 1 (anything else)."""
    from gan_cli.exits import program
    from gan_cli.signals import interrupt_program

    interrupt_program()
    program(lambda: evaluate(parser().parse_args(arguments)))


def evaluate(options: argparse.Namespace) -> int:
    """Do what was asked for; the exit status."""
    from gan_cli.evaluation import command

    return command.run(options)


if __name__ == "__main__":
    main()
