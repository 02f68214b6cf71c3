"""Command-line options that several commands share."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence

import gan_cli
from gan_cli.errors import ConfigError
from gan_cli.formatting import user_path

MOST_LISTED = 10_000  # numbers in a range
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


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """The type of an option that takes a whole number from `least` on, and to `most`."""

    def parse(text: str) -> int:
        value = int(text) if text.isascii() and text.isdigit() else least - 1
        if value < least or (most is not None and value > most):
            bounds = f"from {least} on" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"{text}: a whole number {bounds} is required")
        return value

    return parse


def positive(text: str) -> float:
    """The type of an option that takes a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: a number above 0 is required")
    return value


def frames_per_second(text: str) -> float:
    """The type of --fps: GIF knows no frame of more than 655 seconds."""
    value = positive(text)
    if not 0.01 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text}: a number from 0.01 to 1000 is required")
    return value


def integers(text: str) -> list[int]:
    """The type of an option that takes whole numbers from 0 on, as 3,14,15 or 0-7."""
    found: list[int] = []
    for item in text.split(","):
        ends = [end.strip() for end in item.split("-")]
        if len(ends) > 2 or not all(re.fullmatch("[0-9]{1,9}", end) for end in ends):
            raise argparse.ArgumentTypeError(f"{text}: whole numbers as 3,14,15 or 0-7 are needed")
        low, high = int(ends[0]), int(ends[-1])
        if not low <= high < low + MOST_LISTED:
            raise argparse.ArgumentTypeError(f"{item}: 1 to {MOST_LISTED} numbers are required")
        found += range(low, high + 1)
    return found


RUN = "a run folder or a file in it, part of a name, a folder of runs (its newest), latest"


def add_run(parser: argparse.ArgumentParser) -> None:
    """The run that a command works on."""
    parser.add_argument("run", nargs="?", metavar="RUN", help=RUN)


def add_picture_options(parser: argparse.ArgumentParser, fps: int) -> None:
    """Where pictures and animations go, and how large and fast they are."""
    add = parser.add_argument
    add(
        "--fps", type=frames_per_second, default=fps, metavar="X", help=f"frames per second ({fps})"
    )
    add("--out", metavar="PATH", help="a file, or a folder for files of the default kinds")
    add("--zoom", type=whole(1), metavar="N", help="magnify pixels (default: of small images)")


def add_latent_options(parser: argparse.ArgumentParser) -> None:
    """Which latents, classes and codes samples are decoded from."""
    add = parser.add_argument
    add("--seed", type=int, default=0, metavar="N", help="seed of the samples (default: 0)")
    add("--class", dest="classes", metavar="LIST", help="by name or number: 3, or 0,4 or 0-9")
    add(
        "--code",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="fix latent codes (InfoGAN): category=3, code1=-1.5; may be given again",
    )
    text = "keep the prior's latents within X, as .7; of StyleGAN2 its psi"
    add("--truncation", type=float, metavar="X", help=text)
    add("--z", metavar="FILE", help="latents from a .npy file instead, [n, dim]")


def add_model_options(
    parser: argparse.ArgumentParser, computing: bool = True, batches: bool = True
) -> None:
    """Which weights of a run, and by whose code; where and how, if there is much to compute."""
    add = parser.add_argument
    add(
        "--checkpoint",
        metavar="last|best|STEP",
        help="default: last; of a checkpoint file, that one",
    )
    add(
        "--weights",
        choices=("ema", "raw"),
        default="ema",
        help="averaged weights (default) or raw ones",
    )
    add(
        "--standing",
        type=whole(1),
        metavar="N",
        help="batch norm by the statistics of N batches of samples (BigGAN)",
    )
    if computing and batches:
        add(
            "--batch-size",
            type=whole(1),
            default=256,
            metavar="N",
            help="samples computed at once (default: 256)",
        )
    if computing:
        devices = ("auto", "cpu", "cuda", "mps")
        add(
            "--device", choices=devices, default="auto", help="default: auto, a GPU if there is one"
        )
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
    path = user_path(place)
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
        files.write(user_path(place), text)
