"""The conditions of `--where`: `model=wgan and (metrics.fid<20 or not tag~old)`.

    condition := term ("or" term)*          term   := factor ("and" factor)*
    factor    := "not" factor | "(" condition ")" | key operator value
    operator  := "=" "!=" "<" "<=" ">" ">=" "~"

`~` looks for a regular expression anywhere, whatever the case. A run without the key matches no
comparison but `!=`. Nothing is evaluated: a condition is only ever read.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from gan_cli import formatting
from gan_cli.errors import ConfigError

TOKEN = re.compile(
    r"""\s*(?:(?P<sign>!=|<=|>=|==|[=<>~()])|(?P<quoted>'[^']*'|"[^"]*")|(?P<word>[^\s=<>~!()'"]+))"""
)
ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
SIZES = {"b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12}
DEEPEST = 100  # brackets within brackets

Value = str | float | None


class Run(Protocol):
    """What is asked of a run."""

    def values(self, key: str) -> list[Value]:
        """What the run has under the key, of tags all.

        Raises:
            ConfigError: there is no such key.
        """
        ...


Test = Callable[[Run], bool]


@dataclass(frozen=True)
class Token:
    """A sign, a word or a quoted text, and where it begins."""

    text: str
    at: int
    kind: str


def parse(text: str) -> Condition:
    """The condition that `text` states.

    Raises:
        ConfigError: it states none; the message points at the place.
    """
    parser = _Parser(text)
    test = parser.whole()
    return Condition(test, tuple(parser.keys))


@dataclass(frozen=True)
class Condition:
    """Whether a run matches, and the keys on which that depends."""

    test: Test
    keys: tuple[str, ...]


class _Parser:
    def __init__(self, text: str) -> None:
        self.text, self.place, self.depth = text, 0, 0
        self.keys: dict[str, None] = {}
        self.tokens = list(self._tokens(text))

    def _tokens(self, text: str) -> Iterable[Token]:
        at, end = 0, len(text.rstrip())
        while at < end:
            match = TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                raise self._fault("cannot be read", at)
            found = match[match.lastgroup]
            kind = match.lastgroup
            yield Token(found[1:-1] if kind == "quoted" else found, match.start(kind), kind)
            at = match.end()

    def _fault(self, what: str, at: int) -> ConfigError:
        pointed = f"{self.text[:at]}>>>{self.text[at:]}"
        return ConfigError(
            f"--where: {what}, at >>> in {pointed!r}; write key=value, joined by and, or, not"
        )

    def _next(self) -> Token:
        if self.place >= len(self.tokens):
            return Token("", len(self.text), "end")
        return self.tokens[self.place]

    def _take(self, *words: str) -> bool:
        token = self._next()
        if token.kind in ("quoted", "end") or token.text.lower() not in words:
            return False
        self.place += 1
        return True

    def whole(self) -> Test:
        found = self._any()
        token = self._next()
        if token.kind != "end":
            raise self._fault(f"{token.text} is one too many", token.at)
        return found

    def _any(self) -> Test:
        parts = [self._all()]
        while self._take("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else lambda run: any(part(run) for part in parts)

    def _all(self) -> Test:
        parts = [self._one()]
        while self._take("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else lambda run: all(part(run) for part in parts)

    def _one(self) -> Test:
        self.depth += 1
        try:
            if self.depth > DEEPEST:
                raise self._fault(f"more than {DEEPEST} levels", self._next().at)
            if self._take("not"):
                inner = self._one()
                return lambda run: not inner(run)
            if self._take("("):
                inner = self._any()
                if not self._take(")"):
                    raise self._fault(") is missing", self._next().at)
                return inner
            return self._comparison()
        finally:
            self.depth -= 1

    def _comparison(self) -> Test:
        key = self._expect("word", "a key is missing")
        sign = self._expect("sign", f"{key.text} needs one of = != < <= > >= ~ behind it")
        if sign.text in ("(", ")"):
            raise self._fault(f"{key.text} needs one of = != < <= > >= ~ behind it", sign.at)
        value = self._next()
        if value.kind not in ("word", "quoted"):
            raise self._fault(f"{key.text}{sign.text} needs a value behind it", value.at)
        self.place += 1
        self.keys[key.text] = None
        return self._compared(key.text, sign, value)

    def _expect(self, kind: str, otherwise: str) -> Token:
        token = self._next()
        if token.kind != kind:
            raise self._fault(otherwise, token.at)
        self.place += 1
        return token

    def _compared(self, key: str, sign: Token, value: Token) -> Test:
        if sign.text == "~":
            try:
                pattern = re.compile(value.text, re.IGNORECASE)
            except re.error as error:
                raise self._fault(f"is no regular expression ({error})", value.at) from error
            return lambda run: any(pattern.search(_text(v)) for v in run.values(key))
        number = quantity(key, value.text)
        if sign.text in ORDERS:
            if number is None:
                raise self._fault(f"{key}{sign.text} needs a number", value.at)
            order = ORDERS[sign.text]
            return lambda run: any(
                isinstance(v, float | int) and order(v, number) for v in run.values(key)
            )
        wanted = sign.text != "!="
        return lambda run: wanted == any(_equal(v, value.text, number) for v in run.values(key))


def _equal(have: Value, text: str, number: float | None) -> bool:
    if isinstance(have, float | int) and number is not None:
        return have == number
    return _text(have).lower() == text.lower()


def _text(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def quantity(key: str, text: str) -> float | None:
    """A number; of an age also 2d, of a size also 10MB; None for what is none."""
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
