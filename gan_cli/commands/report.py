"""`gan-report RUNS`: compare runs; `gan-watch RUNS`: the same while they go on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from gan_cli.options import Parser

EXAMPLES = """\
examples:
  gan-report                              all below runs/: a table here, and report.html
  gan-report runs/wgan-mnist 'runs/dcgan*/2025*' --out wgan.html
  gan-report SWEEP --metric modes_captured --at best
  gan-report SWEEP --latex                a table for a paper, and nothing else
  gan-watch SWEEP                         the table, redrawn until all runs and jobs have ended

Runs that differ by their seed alone are one configuration. docs/comparing.md says how means,
intervals and tests come about.
"""


def parser(program: str = "gan-report") -> argparse.ArgumentParser:
    """The command line."""
    made = Parser(program, "Compare runs: what differs, what is better, and how surely.", EXAMPLES)
    add = made.add_argument
    add(
        "runs",
        nargs="*",
        metavar="RUNS",
        help="run folders, folders of runs, globs (default: runs)",
    )
    text = "to compare by (default: what runs keep their best by); fid stands for fid_classifier"
    add("--metric", metavar="NAME", help=text)
    direction = made.add_mutually_exclusive_group()
    for word in ("lower", "higher"):
        direction.add_argument(
            f"--{word}", dest="better", action="store_const", const=word, help=f"{word} is better"
        )
    add("--at", choices=("final", "best"), default="final", help="the values compared")
    add("--out", metavar="PATH", help="where the page goes (default: report.html)")
    for kind, what in (("csv", "one line a run"), ("json", "all of it"), ("latex", "the table")):
        text = f"{what}, to the screen (-, then alone) or a file"
        add(f"--{kind}", nargs="?", const="-", metavar="PATH", help=text)
    add("--live", action="store_true", help="redraw the table until all runs and jobs have ended")
    add("--every", type=seconds, default=2.0, metavar="S", help="seconds between looks (2)")
    return made


def seconds(text: str) -> float:
    """The type of --every."""
    from gan_cli import formatting

    try:
        return formatting.parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; exits with 0, 2 (wrong input), 130 (interrupted) or 1 (anything else)."""
    run("gan-report", arguments)


def watch(arguments: Sequence[str] | None = None) -> None:
    """`gan-watch`: what `gan-report --live` does."""
    run("gan-watch", arguments)


def run(name: str, arguments: Sequence[str] | None) -> None:
    """Do what was asked for, and exit."""
    from gan_cli.exits import program

    def work() -> int:
        options = parser(name).parse_args(arguments)
        options.live = options.live or name == "gan-watch"
        return report(options)

    program(work)


def report(options: argparse.Namespace) -> int:
    """Do what was asked for; the exit status."""
    from gan_cli.reporting import command

    return command.run(options)


if __name__ == "__main__":
    main()
