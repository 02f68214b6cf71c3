"""Commands as text that works when it is pasted into a shell. Imports nothing heavy.

Two grammars lie inside each other: the shell's, and Hydra's within the value of an override.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import Any, NamedTuple

# Text that Hydra takes for text as it stands: a name, or a path, which no number holds.
NAME = re.compile(r"[A-Za-z_][\w.\-]*", re.ASCII)
PATH = re.compile(r"[\w./\-]*/[\w./\-]*", re.ASCII)
KEYWORDS = ("null", "true", "false", "nan", "inf", "none")


def shell_command(*words: str | PurePath) -> str:
    """A command, or a part of one, for bash or zsh.

    Args:
        words: as the program is to receive them; a path is kept from looking like an option.
    """
    return " ".join(_shell_word(_path(w) if isinstance(w, PurePath) else w) for w in words)


def assignment(key: str, value: Any) -> str:
    """`key=value` as a word of a command line, which Hydra reads as this value."""
    return f"{key}={literal(value)}"


def literal(value: Any) -> str:
    """`value` in Hydra's grammar: numbers, text, paths, lists and mappings of them, or None."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(literal, value))}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, PurePath):
        value = _path(value)
    if not isinstance(value, str):
        return repr(value)
    if PATH.fullmatch(value) or (NAME.fullmatch(value) and value.lower() not in KEYWORDS):
        return value
    # OmegaConf would take ${ for an interpolation, and the backslashes before it for escapes.
    plain = re.sub(r"(\\*)\$\{", r"\1\1\\${", value)
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", plain)
    trailing = len(escaped) - len(escaped.rstrip("\\"))
    return f"'{escaped}{chr(92) * trailing}'"


def unquoted(text: str) -> str:
    """The text that a value of an override stands for, where it is one; `text` itself if not."""
    inner = re.fullmatch(r"""\s*(?:'(.*)'|"(.*)")\s*""", text, re.DOTALL)
    if inner is None:
        return text
    quote = "'" if inner[1] is not None else '"'
    body = inner[1] if inner[1] is not None else inner[2]
    # Backslashes count before the quote alone, which here is also the closing one.
    body = re.sub(rf"(\\+)({quote}|$)", lambda m: _halved(m[1]) + m[2], body)
    return re.sub(r"(\\+)\$\{", lambda m: _halved(m[1]) + "${", body)


def _halved(backslashes: str) -> str:
    return backslashes[: len(backslashes) // 2]


def _path(path: PurePath) -> str:
    """A path that is neither an option nor somebody's home to whoever reads it."""
    text = str(path)
    return f"./{text}" if text.startswith(("-", "~")) else text


def user_path(place: str | PurePath) -> Path:
    """The path of text such as `~/x`; `./~x`, and the home of nobody, are as they stand."""
    return Path(os.path.expanduser(place))  # noqa: PTH111 -- Path drops ./ and raises for nobody


def _shell_word(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    # Control characters and bytes that are no text: $'...' of bash and zsh, which a terminal shows.
    shown = (c if c.isprintable() and c not in "'\\" else _bytes_of(c) for c in word)
    return f"$'{''.join(shown)}'"


def _bytes_of(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))


LONGEST = 60  # characters of a value in a message


def show(value: object, most: int = LONGEST) -> str:
    """`value` as one would type it: null, true, 0.5, [1,2], text; cut where it is longer."""
    return cut(_plain(value), most)


def cut(text: str, most: int = LONGEST) -> str:
    """`text` in at most so many characters, by default as many as a message should quote."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _plain(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.12g}"
    if isinstance(value, str):
        return value if _plainly_text(value) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_plain, value))}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_plain(item)}" for key, item in value.items()) + "}"
    return str(value)


def _plainly_text(value: str) -> bool:
    """Whether text needs no quotes to be seen as text."""
    looks_typed = re.fullmatch(
        r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|true|false|null|nan|inf", value.lower()
    )
    return bool(value) and value.isprintable() and not looks_typed


def closest(word: str, options: Collection[str], cutoff: float = 0.6) -> str | None:
    """The option that `word` was probably meant to be."""
    by_lower = {option.lower(): option for option in options}
    found = get_close_matches(word.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else None


def hint(word: str, options: Collection[str], cutoff: float = 0.6) -> str:
    """` (did you mean ...?)`, or nothing where no option is near."""
    near = closest(word, options, cutoff)
    return f" (did you mean {near}?)" if near else ""


def counted(n: int, word: str) -> str:
    """`1 job`, `2 jobs`, `1,000 jobs`."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def percent(share: float, digits: int = 1) -> str:
    """`99.4 %` for .994."""
    return f"{100 * share:.{digits}f} %"


def any_of(words: Collection[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
PATTERN = re.compile(
    rf"(?:{NUMBER}\s*d)?\s*(?:{NUMBER}\s*h)?\s*(?:{NUMBER}\s*m(?:in)?)?\s*(?:{NUMBER}\s*s)?",
    re.ASCII,
)
PLAIN = re.compile(rf"{NUMBER}(?:e[+-]?\d+)?", re.ASCII)


def parse_duration(text: str | int | float) -> float:
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
    return f"{shown!r} is not a positive duration; write 90s, 10m, 2h, 1d or 1h30m"


def show_duration(seconds: float) -> str:
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


def leaves(
    config: Mapping[Any, Any], prefix: str = "", inner: bool = False
) -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested mappings.

    Args:
        config: the mappings.
        prefix: what all keys begin with, its dot included.
        inner: yield mappings too, each before what it holds; else an empty one leaves no trace.
    """
    for key, value in config.items():
        nested = isinstance(value, Mapping)
        if inner or not nested:
            yield f"{prefix}{key}", value
        if nested:
            yield from leaves(value, f"{prefix}{key}.", inner)


# The metric to compare generators by: the first of these that was computed.
SENSIBLE = ("fid_classifier", "fid_inception", "kid_inception", "wasserstein_1", "energy_distance")


def number(value: float) -> str:
    """Four digits that matter, and no power of ten between 0.0001 and a million."""
    if not math.isfinite(value):
        return str(value)
    if _needs_power(value):
        return f"{value:.3g}"
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.{_decimals(value)}f}"


MOST = 1e12  # up to which a value with an error has no power of ten


def rounded(error: float | None, *values: float) -> list[str]:
    """Values with the digits that an error leaves them, its own among them.

    Two digits of the error where they are at most 35, else one (Particle Data Group 2022, section
    5.3): .8600 and .0745 are .86 and .07. Without an error, as `number` writes them.
    """
    finite = all(math.isfinite(value) for value in values)
    powers = any(value != 0 and not 1e-4 <= abs(value) < MOST for value in values)
    if not error or not math.isfinite(error) or not finite or powers:
        return [number(value) for value in values]
    power = math.floor(math.log10(error))
    decimals = (1 if round(error / 10.0 ** (power - 2)) <= 354 else 0) - power
    if decimals > 9:  # values that are equal but for what floats cannot hold
        return [number(value) for value in values]
    return [f"{round(value, decimals):z,.{max(0, decimals)}f}" for value in values]


def _needs_power(value: float) -> bool:
    return value != 0 and not 1e-4 <= abs(value) < 1e6


def _decimals(value: float) -> int:
    return max(0, 4 - len(f"{abs(value):.0f}")) if abs(value) >= 1 else 4


class Interval(NamedTuple):
    """A mean and the ends of its t-interval; None for the ends of a single value."""

    mean: float
    low: float | None
    high: float | None

    @property
    def half(self) -> float | None:
        """Half the width."""
        return None if self.high is None else self.high - self.mean


def install(extra: str) -> str:
    """The command that installs an optional part of the program."""
    return f'pip install "gan-cli[{extra}]"'


def needs(package: str, extra: str) -> str:
    """The end of a message about a missing package, in the one form that all of them have."""
    return f"needs {package}; run: {install(extra)}"
