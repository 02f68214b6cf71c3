"""What `gan-runs` does."""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Callable, Sequence

from rich.table import Table
from rich.text import Text

from gan_cli import formatting
from gan_cli.config.resume import differences
from gan_cli.console import clean, print_path, setup_logging
from gan_cli.errors import ConfigError
from gan_cli.exits import DONE
from gan_cli.formatting import counted, number, show
from gan_cli.managing.listing import ListedRun, bytes_shown, read_tags, require, write_tags
from gan_cli.managing.query import Value, parse
from gan_cli.managing.removal import remove
from gan_cli.reporting.configurations import Gatherer
from gan_cli.reporting.terminal import COLOURS, screen
from gan_cli.runs import folder
from gan_cli.runs.folder import FAILED, INTERRUPTED, KILLED
from gan_cli.runs.record import Record, read

log = logging.getLogger(__name__)
MOST_FAULTS = 12  # that are named below a list


def run(options: argparse.Namespace) -> int:
    """Do what was asked for; the exit status."""
    setup_logging(None)
    work: dict[str, Callable[[argparse.Namespace], int]] = {
        "list": list_runs,
        "tag": tag,
        "compare": compare,
        "remove": remove,
    }
    return work[options.what](options)


def list_runs(options: argparse.Namespace) -> int:
    """Print the runs that match, one on a line."""
    found = matching(options.root, options.where)
    if options.sort:
        found = ordered(found, options.sort)
    if options.paths:
        for one in found:
            print_path(one.record.folder.path)
        return DONE
    extra = list(
        dict.fromkeys([*([options.sort.lstrip("-")] if options.sort else []), *options.show])
    )
    heads = ["run", "state", "step", "best", "size", "age", "tags"]
    extra = [key for key in extra if key not in (*heads, "tag", "path", "name", "status")]
    table = Table()
    for head in heads + extra:
        right = head in ("step", "best", "size", "age")
        table.add_column(head, justify="right" if right else "left", overflow="fold")
    for one in found:
        table.add_row(*_line(one), *(", ".join(map(_shown, one.values(key))) for key in extra))
    screen().print(table)
    screen().print(
        f"{counted(len(found), 'run')}, {bytes_shown(sum(one.size for one in found))}", style="dim"
    )
    _warn([fault for one in found for fault in one.record.faults])
    return DONE


def _warn(faults: Sequence[str]) -> None:
    """Name the files that could not be read."""
    for fault in faults[:MOST_FAULTS]:
        log.warning(fault)
    if len(faults) > MOST_FAULTS:
        log.warning(f"{len(faults) - MOST_FAULTS} more files cannot be read")


def _line(one: ListedRun) -> list[str | Text]:
    record = one.record
    best = record.status.get("best") or {}
    known = isinstance(best.get("figure"), str) and best.get("value") is not None
    told = f"{best['figure']} {number(best['value'])}" if known else ""
    steps = record.status.get("steps")
    return [
        str(record.folder.path),
        Text.assemble((record.state, COLOURS.get(record.state, "dim")), _saved(record)),
        f"{record.step:,}" + (f"/{steps:,}" if isinstance(steps, int) else ""),
        told,
        bytes_shown(one.size),
        formatting.show_duration(one.age),
        ", ".join(one.tags),
    ]


def _saved(record: Record) -> str:
    """Of a run that broke off: up to which step its work is saved."""
    if record.state not in (INTERRUPTED, KILLED, FAILED):
        return ""
    if record.saved is None:
        return ", nothing saved"
    return ", saved" if record.saved >= record.step else f", saved at {record.saved:,}"


def matching(root: str | None, where: str | None) -> list[ListedRun]:
    """The runs below `root` that match.

    Raises:
        ConfigError: the condition cannot be read, or names what no run has.
        CheckpointError: there are no runs.
    """
    condition = parse(where) if where else None
    found = [ListedRun(record) for record in Gatherer([root] if root else [])()]
    if condition is None:
        return found
    for key in condition.keys:
        require(key, found, "--where")
    return [one for one in found if condition.test(one)]


def ordered(found: Sequence[ListedRun], key: str) -> list[ListedRun]:
    """By the values of `key`, falling where it begins with a minus; runs without it last.

    Raises:
        ConfigError: no run has it.
    """
    name = key.removeprefix("-")
    require(name, found, "--sort")
    values = {id(one): next(iter(one.values(name)), None) for one in found}
    have = [one for one in found if not _missing(values[id(one)])]
    numeric = all(isinstance(values[id(one)], int | float) for one in have)

    def rank(one: ListedRun) -> tuple[float, str]:
        value = values[id(one)]
        return (float(value or 0), "") if numeric else (0.0, str(value))

    have.sort(key=rank, reverse=key.startswith("-"))
    return [*have, *(one for one in found if _missing(values[id(one)]))]


def _missing(value: Value) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _shown(value: Value) -> str:
    return number(value) if isinstance(value, float) else str(value)


def tag(options: argparse.Namespace) -> int:
    """Give a run names, or take them away."""
    for name in options.names:
        if not name.strip() or "," in name:
            raise ConfigError(f"tag {name!r}: must be text without commas")
    found = folder.find(options.run)
    have = read_tags(found)
    if options.remove:
        for name in options.names:
            if name not in have:
                raise ConfigError(f"tag {name}: {found.path} has {', '.join(have) or 'no tags'}")
        have = [name for name in have if name not in options.names]
    else:
        have += options.names
    write_tags(found, have)
    print(clean(f"{found.path}: {', '.join(sorted(set(have))) or 'no tags'}"))
    return DONE


def compare(options: argparse.Namespace) -> int:
    """Print in which settings and figures two runs differ."""
    first, second = (read(folder.find(place)) for place in (options.run, options.other))
    table = Table()
    table.add_column("")
    for record in (first, second):
        table.add_column(str(record.folder.path), overflow="fold")
    for found in differences(first.config, second.config):
        table.add_row(found.key, show(found.old), show(found.new))
    table.add_section()
    table.add_row("state", first.state, second.state)
    table.add_row("step", f"{first.step:,}", f"{second.step:,}")
    for name in dict.fromkeys([*first.names(), *second.names()]):
        table.add_row(name, _last(first, name), _last(second, name))
    screen().print(table)
    return DONE


def _last(record: Record, name: str) -> str:
    curve = record.curve(name)
    return number(list(curve.values())[-1]) if curve else ""
