"""What workers do in tests; they import this module by its name."""

from __future__ import annotations

import os


def squares(numbers: list[int]) -> list[int]:
    return [number**2 for number in numbers]


def deadly(numbers: list[int]) -> list[int]:
    """Squares, but a negative number ends the process, as a crash in a decoder would."""
    if min(numbers) < 0:
        os._exit(9)
    return squares(numbers)


def faulty(numbers: list[int]) -> list[int]:
    raise LookupError(f"no {numbers[0]}")


def process(items: list[int]) -> list[int]:
    return [os.getpid()] * len(items)
