"""Command-line options that several commands share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import gan_cli
from gan_cli.errors import ConfigError

EMPTY = "; a variable of the shell that is not set?"


class Parser(argparse.ArgumentParser):
    """A command's options, with examples below. An empty argument is an error.

    It is what an unset variable of the shell leaves, and would mean the current folder or all runs.
    """

    def __init__(self, prog: str, description: str, examples: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.add_argument("--version", action="version", version=f"{prog} {gan_cli.__version__}")

    def parse_args(  # type: ignore[override] - without a namespace, which nobody gives
        self, args: Sequence[str] | None = None
    ) -> argparse.Namespace:
        """The options; ends the program where they cannot be used."""
        words = list(sys.argv[1:] if args is None else args)
        for place, word in enumerate(words):
            option, equals, value = word.partition("=")
            if not word.strip() or (word.startswith("--") and equals and not value.strip()):
                behind = option if word.strip() else words[place - 1] if place else self.prog
                where = "of" if word.strip() else "behind"
                # Without the usage, since the shell's variable is at fault.
                self.exit(2, f"error: the argument {where} {behind} is empty{EMPTY}\n")
        return super().parse_args(words)


def whole(least: int) -> Callable[[str], int]:
    """The type of an option that takes a whole number from `least` on."""

    def parse(text: str) -> int:
        value = int(text) if text.isascii() and text.isdigit() else least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text}: a whole number from {least} on is required")
        return value

    return parse


def add_model_options(parser: argparse.ArgumentParser, computing: bool = True) -> None:
    """Which weights of a run, and by whose code; where and how, if there is much to compute."""
    add = parser.add_argument
    add("--checkpoint", metavar="last|best|STEP", help="default: last, or the file that RUN is")
    add("--weights", choices=("ema", "raw"), default="ema", help="averaged (default) or not")
    if computing:
        add("--batch-size", type=whole(1), default=256, metavar="N", help="computed at once")
        add("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    add(
        "--trust",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module of yours that the run may use; may be given again",
    )


def check_output(option: str, place: str, runs: str = "RUN") -> None:
    """Check, before any work is done, that an option's file can be written.

    Args:
        option: its name.
        place: the file, or - for the screen.
        runs: the argument that an option in front of it may have taken for its file.

    Raises:
        ConfigError: it is a folder, such as a run behind --json, or lies in none.
    """
    path = Path(place).expanduser()
    if place != "-" and path.is_dir():
        fix = f"name a file, or put {runs} before {option}"
        raise ConfigError(f"{option} {place}: is a folder; {fix}")
    if not path.parent.is_dir():
        raise ConfigError(f"{option} {place}: the folder {path.parent} is missing; make it first")


def write_output(place: str, text: str) -> None:
    """Write to the file that an option names, or to the screen for -."""
    from gan_cli import files
    from gan_cli.console import clean

    text = text.encode(errors="backslashreplace").decode()  # names of files may be no UTF-8
    if place == "-":
        print(clean(text) if sys.stdout.isatty() else text, end="")
    else:
        files.write(Path(place).expanduser(), text)
