"""What `gan-report` and `gan-watch` do."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from gan_cli import files
from gan_cli.console import clean, setup_logging
from gan_cli.errors import ConfigError
from gan_cli.exits import DONE, say
from gan_cli.reporting import terminal
from gan_cli.reporting.configurations import Gatherer
from gan_cli.reporting.findings import Findings, find
from gan_cli.reporting.metric import choose
from gan_cli.reporting.tables import to_csv, to_json, to_latex

log = logging.getLogger(__name__)
WRITERS: Mapping[str, Callable[[Findings], str]] = {
    "csv": to_csv,
    "json": to_json,
    "latex": to_latex,
}
PAGE = "report.html"


def run(options: argparse.Namespace) -> int:
    """Read, compare, and write what was asked for; the exit status.

    Raises:
        UserError: there are no such runs, no such metric, or a file cannot be written.
    """
    setup_logging(None)
    if options.live:
        return live(options)
    asked = {kind: getattr(options, kind) for kind in WRITERS}
    places = {kind: place for kind, place in asked.items() if place is not None}
    page = options.out or (None if places else PAGE)
    for kind, place in [*places.items(), *([("out", page)] if page else [])]:
        check_place(kind, place)
    if page:
        check_page(Path(page).expanduser())
    found = findings(options, Gatherer(options.runs))
    if page:
        from gan_cli.reporting.page import to_html

        give(page, to_html(found))
    # Files first: whoever reads the screen may have seen enough of it.
    for kind, place in sorted(places.items(), key=lambda item: item[1] == "-"):
        give(place, WRITERS[kind](found))
    if "-" in places.values():
        for line in found.warnings:
            log.warning(line)
    else:
        terminal.show(terminal.screen(), found)
    if page:
        say(f"page: {page}")
    return DONE


def live(options: argparse.Namespace) -> int:
    """Redraw the table from the folders alone until all runs have ended."""
    from gan_cli.reporting.terminal import sweeps, watch

    gatherer = Gatherer(options.runs)
    return watch(
        terminal.screen(),
        lambda: findings(options, gatherer),
        options.every,
        standing=lambda: sweeps(gatherer.places),
    )


def findings(options: argparse.Namespace, gatherer: Gatherer) -> Findings:
    """What the runs say now."""
    records = gatherer()
    metric = choose(records, options.metric, options.better)
    return find(records, metric, options.at)


def give(place: str, text: str) -> None:
    """Write to where the user wants it."""
    text = text.encode(errors="backslashreplace").decode()  # names of files may be no UTF-8
    if place == "-":
        print(clean(text) if sys.stdout.isatty() else text, end="")
    else:
        files.write(Path(place).expanduser(), text)


def check_place(kind: str, place: str) -> None:
    """Check, before any work is done, that a file can go there.

    Raises:
        ConfigError: it is a folder, such as a run behind --json, or lies in none.
    """
    path = Path(place).expanduser()
    if place == "-" and kind != "out":
        return
    if path.is_dir():
        raise ConfigError(
            f"--{kind} {place}: is a folder; name a file, or put RUNS before --{kind}"
        )
    if not path.parent.is_dir():
        raise ConfigError(f"--{kind} {place}: there is no folder {path.parent}; make it first")


def check_page(path: Path) -> None:
    """Check that the page replaces nothing but an older one.

    Raises:
        ConfigError: another file is there.
    """
    from gan_cli.reporting.page import MARK

    if path.exists() and MARK not in path.read_bytes()[:400].decode(errors="replace"):
        raise ConfigError(f"--out {path}: is a file that no gan-report wrote; choose another name")
