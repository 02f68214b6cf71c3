"""Command-line options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def whole(least: int) -> Callable[[str], int]:
    """The type of an option that takes a whole number from `least` on."""

    def parse(text: str) -> int:
        value = int(text) if text.isascii() and text.isdigit() else least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text}: a whole number from {least} on is required")
        return value

    return parse


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Which weights of a run, where, and by whose code."""
    add = parser.add_argument
    add("--checkpoint", default="last", metavar="last|best|STEP", help="default: last")
    add("--weights", choices=("ema", "raw"), default="ema", help="averaged (default) or not")
    add("--batch-size", type=whole(1), default=256, metavar="N", help="computed at once")
    add("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    add(
        "--trust",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module of yours that the run may use; may be given again",
    )
