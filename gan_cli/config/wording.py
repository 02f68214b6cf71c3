"""How values and hints are put into messages. Imports nothing heavy: --help stands on it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches

LONGEST = 60  # characters of a value in a message


def show(value: object) -> str:
    """`value` as one would type it: null, true, 0.5, [1,2], text; cut where it is long."""
    return cut(_plain(value))


def cut(text: str) -> str:
    """`text` no longer than a message should quote."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


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


def any_of(words: Collection[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last
