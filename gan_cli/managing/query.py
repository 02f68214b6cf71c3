"""The conditions of `--where`: `model=wgan and (metrics.fid<20 or not tag~old)`.

A comparison is a key, one of = == != < <= > >= ~ and a value, quoted if it holds a space or sign.
`~` looks for a regular expression anywhere, whatever the case. A run without the key matches no
comparison but `!=`; a setting that is not set is `null`. Python's parser only sees how comparisons
are joined, with a number for each: `0 and (1 or not 2)`. Nothing is evaluated.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gan_cli import formatting
from gan_cli.errors import ConfigError

WORD = r"""[^\s=<>~!()'"]"""
PIECE = re.compile(
    rf"""(?P<join>(?:and|or|not)(?!{WORD})|[()])
    | (?P<key>{WORD}+)\s*(?:(?P<sign>[!=<>]=|[=<>~])\s*(?P<value>'[^']*'|"[^"]*"|{WORD}+)?)?
    | (?P<stray>\S)""",
    re.IGNORECASE | re.VERBOSE,
)
ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
SIZES = {"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12}
LONGEST = 10_000  # characters
DEEPEST = 100  # brackets within brackets

Value = str | float | None


class Run(Protocol):
    """A run with values by key."""

    def values(self, key: str) -> list[Value]:
        """The values of `key`: all tags, one of another key, none where the run lacks it.

        Raises:
            ConfigError: there is no such key.
        """
        ...


Test = Callable[[Run], bool]


@dataclass(frozen=True)
class Condition:
    """A test of runs, and the keys that it reads."""

    test: Test
    keys: tuple[str, ...]


def parse(text: str) -> Condition:
    """The condition that `text` states.

    Raises:
        ConfigError: it cannot be read; the message points at the place.
    """
    if len(text) > LONGEST:
        raise ConfigError(f"--where: {len(text)} characters, at most {LONGEST} can be read")
    text = text.strip()
    tests: list[Test] = []
    keys: list[str] = []
    joined: list[str] = []  # for Python's parser
    begins, depth = True, 0  # whether a comparison must begin here, and how many brackets are open
    for piece in PIECE.finditer(text):
        word = (piece["join"] or "").lower()
        opens = piece["key"] is not None or word in ("not", "(")
        if piece["stray"] or opens != begins:
            wrong = "a key is missing" if begins else f"{piece['key'] or piece[0]} is one too many"
            raise _fault(wrong, text, piece.start())
        begins = word not in ("", ")")
        depth += (word == "(") - (word == ")")
        if depth < 0:
            raise _fault(") is one too many", text, piece.start())
        if depth > DEEPEST:
            raise _fault(f"more than {DEEPEST} levels", text, piece.start())
        if word == "not" and joined[-1:] == ["not"]:
            joined.pop()  # so that only brackets nest
            continue
        joined.append(word or str(len(tests)))
        if not word:
            tests.append(_comparison(text, piece))
            keys.append(piece["key"])
    if begins or depth:
        raise _fault("a key is missing" if begins else ") is missing", text, len(text))
    tree = ast.parse(" ".join(joined), mode="eval")
    return Condition(_combined(tree.body, tests), tuple(dict.fromkeys(keys)))


def _fault(what: str, text: str, at: int) -> ConfigError:
    pointed = f"{text[:at]}>>>{text[at:]}"
    return ConfigError(
        f"--where: {what}, at >>> in {pointed!r}; write key=value, joined by and, or, not"
    )


def _combined(node: ast.expr, tests: Sequence[Test]) -> Test:
    match node:
        case ast.Constant(value=int(place)):
            return tests[place]
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _combined(operand, tests)
            return lambda run: not inner(run)
        case ast.BoolOp(op=joint, values=nodes):
            parts = [_combined(part, tests) for part in nodes]
            enough = all if isinstance(joint, ast.And) else any
            return lambda run: enough(part(run) for part in parts)
        case _:
            raise AssertionError(ast.dump(node))


def _comparison(text: str, piece: re.Match[str]) -> Test:
    key, sign, value = piece["key"], piece["sign"], piece["value"]
    if sign is None:
        raise _fault(f"{key} needs one of = != < <= > >= ~ behind it", text, piece.end())
    if value is None:
        opened = text[piece.end() : piece.end() + 1] in ("'", '"')
        wrong = "a quote is not closed" if opened else f"{key}{sign} needs a value behind it"
        raise _fault(wrong, text, piece.end())
    at = piece.start("value")
    value = value[1:-1] if value[0] in "'\"" else value
    if sign == "~":
        try:
            pattern = re.compile(value, re.IGNORECASE)
        except re.error as error:
            raise _fault(f"is not a regular expression ({error})", text, at) from error
        return lambda run: any(pattern.search(text_of(v)) for v in run.values(key))
    number = quantity(key, value)
    if sign in ORDERS:
        if number is None:
            raise _fault(f"{key}{sign} needs a number", text, at)
        order = ORDERS[sign]
        return lambda run: any(
            isinstance(v, float | int) and order(v, number) for v in run.values(key)
        )
    wanted = sign != "!="
    return lambda run: wanted == any(_equal(v, value, number) for v in run.values(key))


def _equal(have: Value, text: str, number: float | None) -> bool:
    if isinstance(have, float | int) and number is not None:
        return have == number
    ours = text_of(have)
    if ours.startswith("[") and text.startswith("["):
        return _items(ours) == _items(text)
    return ours.lower() == text.lower()


def _items(text: str) -> list[str | float]:
    """The brackets and items of a list; numbers as such, however they are written."""
    words = [word.strip(" '\"").lower() for word in re.findall(r"[\[\],]|[^\[\],]+", text)]
    return [word if (found := quantity("", word)) is None else found for word in words if word]


def text_of(value: Value) -> str:
    """A value as text; `null` for a setting that is not set."""
    if value is None:
        return "null"
    return f"{value:g}" if isinstance(value, float) else str(value)


def quantity(key: str, text: str) -> float | None:
    """The number in `text`, an age also as 2d, a size also as 10MB; None where it is none."""
    try:
        return float(text)
    except ValueError:
        pass
    if key == "age":
        try:
            return formatting.parse_duration(text)
        except ValueError:
            return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?b)", text.lower())
    return float(match[1]) * SIZES[match[2]] if key == "size" and match else None
