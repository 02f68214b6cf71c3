"""`gan-runs`: list, find, tag, compare and remove runs."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from gan_cli.options import Parser

log = logging.getLogger(__name__)

EXAMPLES = """\
examples:
  gan-runs                                      all below runs/, oldest first
  gan-runs runs/wgan-mnist --sort metrics.fid   lowest first (-KEY: highest)
  gan-runs --where 'model=wgan and metrics.fid<20 and not tag~old' --show prior
  gan-runs --where 'state=failed or age>30d' --paths    for scripts
  gan-runs tag RUN paper                        and tag RUN paper --remove
  gan-runs compare RUN RUN                      settings and values that differ
  gan-runs remove --where 'state=failed'        asks first

Keys: name, path, state, step, steps, size (10MB), age (2d), tag, error, best,
alarm, branched_from, forced and rollbacks (how many); metrics.NAME, the last
value, where fid means fid_classifier if no run has another; groups such as
model; any setting, such as optimizer.lr (null where it is not set). Operators:
= != < <= > >=, and ~ for a regular expression; and, or, not, ().
"""
COMMANDS = ("tag", "compare", "remove")
MOST_FAULTS = 12  # that are named below a list


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; exits with 0, 2 (wrong input), 130 (interrupted) or 1 (anything else)."""
    from gan_cli.exits import program

    program(lambda: run(options_of(list(sys.argv[1:] if arguments is None else arguments))))


def options_of(words: list[str]) -> argparse.Namespace:
    """The command line; a folder that is called as a command is written ./tag."""
    what = words.pop(0) if words and words[0] in COMMANDS else "list"
    options = parser(what).parse_args(words)
    options.what = what
    return options


def parser(what: str = "list") -> argparse.ArgumentParser:
    """The command line of `gan-runs`, or of one of its commands."""
    made = Parser(
        "gan-runs" if what == "list" else f"gan-runs {what}",
        "List, find, tag, compare and remove runs.",
        EXAMPLES,
    )
    add = made.add_argument
    condition = "such as 'model=wgan and metrics.fid<20'"
    if what == "tag":
        add("run", metavar="RUN", help="a run folder, a part of its name, or latest")
        add("names", nargs="+", metavar="NAME", help="to add; text without commas")
        add("--remove", action="store_true", help="remove the names instead")
    elif what == "compare":
        add("run", metavar="RUN", help="a run folder, a part of its name, or latest")
        add("other", metavar="RUN", help="another one")
    elif what == "remove":
        add(
            "runs",
            nargs="*",
            metavar="RUN",
            help="runs or globs of runs; with --where folders, too",
        )
        add("--where", metavar="CONDITION", help=condition)
        add("--yes", action="store_true", help="do not ask")
    else:
        add("root", nargs="?", metavar="ROOT", help="a folder of runs (default: runs)")
        add("--sort", metavar="KEY", help="ascending; -KEY (as --sort=-KEY) descending")
        add("--where", metavar="CONDITION", help=condition)
        add("--show", action="append", default=[], metavar="KEY", help="one more column")
        add("--paths", action="store_true", help="print folders only")
    return made


def run(options: argparse.Namespace) -> int:
    """Do what was asked for; the exit status."""
    from gan_cli.console import setup_logging
    from gan_cli.managing.removal import remove

    setup_logging(None)
    commands = {"list": list_runs, "tag": tag, "compare": compare, "remove": remove}
    return commands[options.what](options)


def list_runs(options: argparse.Namespace) -> int:
    """Print the runs that match, one on a line."""
    from gan_cli.console import print_path
    from gan_cli.exits import DONE
    from gan_cli.formatting import counted
    from gan_cli.managing.listing import bytes_shown, matching, ordered, table
    from gan_cli.reporting.terminal import screen

    found = matching([options.root] if options.root else [], options.where)
    if options.sort:
        found = ordered(found, options.sort)
    if options.paths:
        for one in found:
            print_path(one.record.folder.path)
        return DONE
    keys = [*([options.sort.lstrip("-")] if options.sort else []), *options.show]
    screen().print(table(found, list(dict.fromkeys(keys))))
    size = bytes_shown(sum(one.size for one in found))
    screen().print(f"{counted(len(found), 'run')}, {size}", style="dim")
    faults = [fault for one in found for fault in one.record.faults]
    for fault in faults[:MOST_FAULTS]:
        log.warning(fault)
    if len(faults) > MOST_FAULTS:
        log.warning(f"{len(faults) - MOST_FAULTS} more files cannot be read")
    return DONE


def tag(options: argparse.Namespace) -> int:
    """Add names to a run, or remove them.

    Raises:
        ConfigError: a name is no text without commas, or one to remove is not there.
    """
    from gan_cli.console import clean
    from gan_cli.errors import ConfigError
    from gan_cli.exits import DONE
    from gan_cli.managing.listing import read_tags, write_tags
    from gan_cli.runs.lookup import find

    for name in options.names:
        if not name.strip() or "," in name:
            raise ConfigError(f"tag {name!r}: must be text without commas")
    found = find(options.run)
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
    """Print in which settings and values two runs differ."""
    from rich.table import Table

    from gan_cli.config.resume import differences
    from gan_cli.exits import DONE
    from gan_cli.formatting import number, show
    from gan_cli.reporting.terminal import screen
    from gan_cli.runs.lookup import find
    from gan_cli.runs.record import read

    first, second = (read(find(place)) for place in (options.run, options.other))
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
        values = (first.last(name), second.last(name))
        table.add_row(name, *("" if value is None else number(value) for value in values))
    screen().print(table)
    return DONE


if __name__ == "__main__":
    main()
