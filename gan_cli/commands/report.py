"""`gan-report RUNS`: compare runs; `gan-watch RUNS`: the same while they train."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gan_cli.formatting import user_path
from gan_cli.options import Parser, check_output, write_output

if TYPE_CHECKING:
    from gan_cli.reporting.findings import Findings
    from gan_cli.runs.record import Record

log = logging.getLogger(__name__)
PAGE = "report.html"

EXAMPLES = """\
examples:
  gan-report                    all below runs/: a table and runs/report.html
  gan-report runs/wgan-mnist 'runs/dcgan*/2025*' --out wgan.html
  gan-report SWEEP --metric modes_captured --at best
  gan-report SWEEP --latex      a table for a paper, and nothing else
  gan-watch SWEEP               the table, redrawn until all runs have ended

Runs that differ by their seed alone are one configuration. docs/comparing.md
says how means, intervals and tests come about.
"""


def parser(program: str = "gan-report") -> argparse.ArgumentParser:
    """The command line."""
    text = "Compare runs: what differs, what is better, and how surely."
    if program == "gan-watch":
        text = "Show all runs in a table, redrawn until they have ended (gan-report --live)."
    made = Parser(program, text, EXAMPLES)
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
    add("--out", metavar="PATH", help="where the page goes (default: report.html in RUNS)")
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
    from gan_cli.console import progress_bar, setup_logging
    from gan_cli.exits import DONE, say
    from gan_cli.reporting import terminal
    from gan_cli.reporting.tables import to_csv, to_json, to_latex
    from gan_cli.runs.record import Gatherer

    setup_logging(None)
    gatherer = Gatherer(options.runs)
    records = gatherer()
    writers = {"csv": to_csv, "json": to_json, "latex": to_latex}
    places = {kind: place for kind in writers if (place := getattr(options, kind)) is not None}
    page = options.out or (None if places else str(folder_of(gatherer.places, records) / PAGE))
    for kind, place in [*places.items(), *([("out", page)] if page else [])]:
        check_output(f"--{kind}", place, "RUNS")
    if page:
        check_page(user_path(page))
    with progress_bar("comparing runs", len(records)) as advance:
        found = findings(options, records, advance)
    if page:
        from gan_cli.reporting.page import to_html

        write_output(page, to_html(found))
    # Files first: whoever reads the screen may have seen enough of it.
    for kind, place in sorted(places.items(), key=lambda item: item[1] == "-"):
        write_output(place, writers[kind](found))
    if "-" in places.values():
        for line in (line for one in found for line in one.warnings):
            log.warning(line)
    else:
        terminal.screen().print(terminal.rendered(found), crop=False)
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
        lambda: findings(options, gatherer()),
        options.every,
        standing=lambda: terminal.sweeps(gatherer.places),
    )


def folder_of(places: Sequence[str], records: Sequence[Record]) -> Path:
    """The folder of all runs: the one that was named, or what the runs have in common.

    The current one where nothing can be written there, as in a colleague's runs.
    """
    folder = user_path(places[0])
    if len(places) > 1 or not folder.is_dir():
        paths = [record.folder.path.absolute() for record in records]
        folder = Path(os.path.relpath(os.path.commonpath(paths)))
    return folder if os.access(folder, os.W_OK) else Path()


def findings(
    options: argparse.Namespace,
    records: Sequence[Record],
    advance: Callable[[int], object] = lambda _: None,
) -> list[Findings]:
    """The comparison of the runs as they are now, for each data set."""
    from gan_cli.reporting.findings import find

    return find(records, options.metric, options.better, options.at, advance=advance)


def check_page(path: Path) -> None:
    """Check that the page replaces nothing but an older one.

    Raises:
        CheckpointError: a link is there, which may lead anywhere.
        ConfigError: another file is there.
    """
    from gan_cli.errors import ConfigError
    from gan_cli.files import refuse_links
    from gan_cli.reporting.page import MARK

    refuse_links(path)

    if path.exists() and MARK not in path.read_bytes()[:400].decode(errors="replace"):
        raise ConfigError(f"--out {path}: is a file that no gan-report wrote; choose another name")


if __name__ == "__main__":
    main()
