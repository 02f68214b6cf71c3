"""Lengths of time as people write them: `90s`, `10m`, `1h30m`."""

from __future__ import annotations

import math
import re

UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
PATTERN = re.compile(
    rf"(?:{NUMBER}\s*d)?\s*(?:{NUMBER}\s*h)?\s*(?:{NUMBER}\s*m(?:in)?)?\s*(?:{NUMBER}\s*s)?",
    re.ASCII,
)
PLAIN = re.compile(rf"{NUMBER}(?:e[+-]?\d+)?", re.ASCII)


def parse(text: str | int | float) -> float:
    """Seconds in `text`: a number of seconds, or parts in falling order such as "1d 2h 30m 5s".

    Raises:
        ValueError: not a length of time, or not above zero and finite.
    """
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise ValueError(_refusal(text))
    words = str(text).strip().lower()
    if PLAIN.fullmatch(words):
        seconds = float(words)
    elif words and (parts := PATTERN.fullmatch(words)):
        numbers = zip(parts.groups(), UNITS.values(), strict=True)
        seconds = sum(float(number) * unit for number, unit in numbers if number)
    else:
        raise ValueError(_refusal(text))
    if not 0 < seconds < math.inf:
        raise ValueError(_refusal(text))
    return seconds


def _refusal(text: object) -> str:
    # A number of a thousand digits must not become the whole message.
    shown = str(text) if len(str(text)) <= 40 else f"{str(text)[:40]}..."
    return f"{shown!r} is no length of time above zero; write 90s, 10m, 2h, 1d or 1h30m"


def show(seconds: float) -> str:
    """`seconds` in its two largest units: "45 s", "3 min 20 s", "2 h 5 min", "3 d 4 h".

    Below ten seconds with one decimal; negative as "0 s" (clocks are set back); "?" where unknown
    (NaN or infinite).
    """
    if not math.isfinite(seconds):
        return "?"
    if seconds < 9.95:
        return f"{max(round(seconds, 1), 0):g} s"
    if (whole := round(seconds)) < 60:
        return f"{whole} s"
    if whole < 3600:
        return _two(whole, 60, "min", "s")
    if (minutes := round(seconds / 60)) < 24 * 60:
        return _two(minutes, 60, "h", "min")
    return _two(round(seconds / 3600), 24, "d", "h")


def _two(count: int, per: int, large: str, small: str) -> str:
    many, rest = divmod(count, per)
    return f"{many} {large} {rest} {small}" if rest else f"{many} {large}"
