"""`gan-runs`: list, find, tag, compare and remove runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from gan_cli.options import Parser

EXAMPLES = """\
examples:
  gan-runs                                            all below runs/, oldest first
  gan-runs runs/wgan-mnist --sort metrics.fid         best first; -metrics.fid: worst first
  gan-runs --where 'model=wgan and metrics.fid<20 and not tag~old' --show prior
  gan-runs --where 'state=failed or age>30d' --paths  for scripts
  gan-runs tag RUN paper                              and tag RUN paper --remove
  gan-runs compare RUN RUN                            settings and figures that differ
  gan-runs remove --where 'state=failed'              asks first

Keys: name, path, state, step, steps, size (10MB), age (2d), tag, error, best; metrics.NAME, the
last value, where fid means fid_classifier if there is no other; groups such as model; any setting,
such as optimizer.lr. Operators: = != < <= > >=, and ~ for a regular expression; and, or, not, ().
"""
COMMANDS = ("tag", "compare", "remove")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; exits with 0, 2 (wrong input), 130 (interrupted) or 1 (anything else)."""
    from gan_cli.exits import program

    def work() -> int:
        options = options_of(list(sys.argv[1:] if arguments is None else arguments))
        from gan_cli.managing import command

        return command.run(options)

    program(work)


def options_of(words: list[str]) -> argparse.Namespace:
    """The command line; a folder that is called as a command is written ./tag."""
    what = words.pop(0) if words and words[0] in COMMANDS else "list"
    parser = Parser(
        "gan-runs" if what == "list" else f"gan-runs {what}",
        "List, find, tag, compare and remove runs.",
        EXAMPLES,
    )
    add = parser.add_argument
    condition = "such as 'model=wgan and metrics.fid<20'"
    if what == "tag":
        add("run", metavar="RUN")
        add("names", nargs="+", metavar="NAME")
        add("--remove", action="store_true", help="take the names away")
    elif what == "compare":
        add("run", metavar="RUN")
        add("other", metavar="RUN")
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
        add("--sort", metavar="KEY", help="rising; -KEY (as --sort=-KEY) falling")
        add("--where", metavar="CONDITION", help=condition)
        add("--show", action="append", default=[], metavar="KEY", help="one more column")
        add("--paths", action="store_true", help="print folders alone")
    options = parser.parse_args(words)
    options.what = what
    return options


if __name__ == "__main__":
    main()
