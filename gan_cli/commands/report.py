"""`gan-report RUNS`: compare runs; `gan-watch RUNS`: the same while they train."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gan_cli.options import Parser, check_output, write_output

if TYPE_CHECKING:
    from gan_cli.reporting.findings import Findings
    from gan_cli.runs.record import Gatherer

log = logging.getLogger(__name__)
PAGE = "report.html"

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
        return live(options) if options.live or name == "gan-watch" else report(options)

    program(work)


def report(options: argparse.Namespace) -> int:
    """Read, compare, and write what was asked for; the exit status.

    Raises:
        UserError: there are no such runs, no such metric, or a file cannot be written.
    """
    from gan_cli.console import setup_logging
    from gan_cli.exits import DONE, say
    from gan_cli.reporting import terminal
    from gan_cli.reporting.tables import to_csv, to_json, to_latex
    from gan_cli.runs.record import Gatherer

    setup_logging(None)
    writers = {"csv": to_csv, "json": to_json, "latex": to_latex}
    places = {kind: place for kind in writers if (place := getattr(options, kind)) is not None}
    page = options.out or (None if places else PAGE)
    for kind, place in [*places.items(), *([("out", page)] if page else [])]:
        check_output(f"--{kind}", place, "RUNS")
    if page:
        check_page(Path(page).expanduser())
    found = findings(options, Gatherer(options.runs))
    if page:
        from gan_cli.reporting.page import to_html

        write_output(page, to_html(found))
    # Files first: whoever reads the screen may have seen enough of it.
    for kind, place in sorted(places.items(), key=lambda item: item[1] == "-"):
        write_output(place, writers[kind](found))
    if "-" in places.values():
        for line in found.warnings:
            log.warning(line)
    else:
        terminal.screen().print(terminal.rendered(found))
    if page:
        say(f"page: {page}")
    return DONE


def live(options: argparse.Namespace) -> int:
    """Redraw the table from the folders alone until all runs have ended; the exit status."""
    from gan_cli.console import setup_logging
    from gan_cli.reporting import terminal
    from gan_cli.runs.record import Gatherer

    setup_logging(None)
    gatherer = Gatherer(options.runs)
    return terminal.watch(
        terminal.screen(),
        lambda: findings(options, gatherer),
        options.every,
        standing=lambda: terminal.sweeps(gatherer.places),
    )


def findings(options: argparse.Namespace, gatherer: Gatherer) -> Findings:
    """The comparison of the runs as they are now."""
    from gan_cli.reporting.findings import find
    from gan_cli.reporting.metric import choose

    records = gatherer()
    return find(records, choose(records, options.metric, options.better), options.at)


def check_page(path: Path) -> None:
    """Check that the page replaces nothing but an older one.

    Raises:
        ConfigError: another file is there.
    """
    from gan_cli.errors import ConfigError
    from gan_cli.reporting.page import MARK

    if path.exists() and MARK not in path.read_bytes()[:400].decode(errors="replace"):
        raise ConfigError(f"--out {path}: is a file that no gan-report wrote; choose another name")


if __name__ == "__main__":
    main()
