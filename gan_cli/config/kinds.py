"""Whether plain values (null, booleans, numbers, text, lists, mappings) fit a class's annotations.

Strict where YAML is not: text is no number, true is no number, 1.5 is no whole number. A whole
number does where any number is wanted, 1e4 and 10k do where a whole one is, and a list does where
a tuple is.
"""

from __future__ import annotations

import inspect
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Union

from gan_cli.config.wording import any_of

ANY = inspect.Parameter.empty
UNIONS = (Union, types.UnionType)
LISTS = (list, tuple, set, frozenset, Sequence, Iterable)
WORDS = {
    type(None): "null",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    PathLike: "a path",
}


COUNT = re.compile(r"([+-]?\d+(?:\.\d+)?)([kKM])", re.ASCII)
THOUSANDS = {"k": 1_000, "K": 1_000, "M": 1_000_000}


def whole(value: object) -> object:
    """A whole number that is written as 1e4, 10k or 2.5M; any other value as it is."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and (match := COUNT.fullmatch(value)):
        number = Decimal(match[1]) * THOUSANDS[match[2]]
        return int(number) if number == number.to_integral_value() else value
    return value


def argument_kinds(target: type) -> dict[str, Any]:
    """The types of a constructor's arguments; without those that cannot be found out."""
    try:
        return typing.get_type_hints(target.__init__)
    except (NameError, TypeError, AttributeError):  # names that exist for type checkers alone
        return {}


def fits(value: object, kind: Any) -> bool:
    """Whether `value` may be passed where `kind` is annotated; unknown kinds take anything."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind in (ANY, Any, object):
        return True
    if origin is typing.Annotated:
        return fits(value, inner[0])
    if origin in UNIONS:
        return any(fits(value, one) for one in inner)
    if origin is Literal:
        return any(value == one and type(value) is type(one) for one in inner)
    if kind in (None, type(None)):
        return value is None
    if kind is bool:
        return isinstance(value, bool)
    if kind is int:
        return isinstance(whole(value), int) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind in (str, Path) or origin is PathLike or kind is PathLike:
        return isinstance(value, str)
    base = origin or kind
    if base in LISTS:
        return isinstance(value, list | tuple) and _items_fit(value, base, inner)
    if isinstance(base, type) and issubclass(base, Mapping):
        return isinstance(value, Mapping) and (
            not inner or all(fits(k, inner[0]) and fits(v, inner[1]) for k, v in value.items())
        )
    # A class that is built from a node: no plain value is one.
    return not isinstance(kind, type) or isinstance(value, kind) or _is_protocol(kind)


def _items_fit(value: Sequence[object], base: type, inner: tuple[Any, ...]) -> bool:
    if not inner:
        return True
    if base is tuple and inner[-1] is not Ellipsis:
        expected = () if inner == ((),) else inner
        return len(value) == len(expected) and all(map(fits, value, expected))
    return all(fits(item, inner[0]) for item in value)


def _is_protocol(kind: type) -> bool:
    return bool(getattr(kind, "_is_protocol", False))


def classes(kind: Any) -> tuple[type, ...] | None:
    """The classes of which an object may be where `kind` is annotated; None where any will do."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return classes(inner[0])
    if origin in UNIONS:
        each = [classes(one) for one in inner]
        return None if None in each else tuple(one for some in each if some for one in some)
    if kind in WORDS:
        return ()  # what is written plainly is not built
    if kind in (Any, object) or origin is not None or not inspect.isclass(kind):
        return None
    return None if _is_protocol(kind) else (kind,)


def item_kind(kind: Any) -> Any:
    """What a list's items are, where `kind` says it; None where it does not."""
    members = typing.get_args(kind) if typing.get_origin(kind) in UNIONS else (kind,)
    for one in members:
        inner = typing.get_args(one)
        if typing.get_origin(one) in LISTS and len(set(inner) - {Ellipsis}) == 1:
            return inner[0]
    return None


def describe(kind: Any) -> str:
    """`kind` in words: "a whole number or null", "a list of 2 numbers", "one of a and b"."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return describe(inner[0])
    if origin in UNIONS:
        # Null is said last, and what only code can pass is not said at all.
        plain = [one for one in inner if one is not type(None) and _writable(one)]
        shown = plain or [one for one in inner if one is not type(None)]
        return any_of(list(dict.fromkeys(map(describe, shown))) + ["null"] * (type(None) in inner))
    if origin is Literal:
        return any_of([str(one) for one in inner])
    base = origin or kind
    if base in WORDS or kind is None:
        return WORDS[base if kind is not None else type(None)]
    if base in LISTS:
        return _describe_list(base, inner)
    if isinstance(base, type) and issubclass(base, Mapping):
        return "a mapping"
    return f"a {getattr(kind, '__name__', kind)} (a mapping with _target_)"


def _describe_list(base: type, inner: tuple[Any, ...]) -> str:
    if not inner:
        return "a list"
    fixed = base is tuple and inner[-1] is not Ellipsis
    count = f"{len(inner)} " if fixed else ""
    item = describe(inner[0]).removeprefix("a ")
    plural = {"whole number": "whole numbers", "number": "numbers", "text": "texts"}
    return f"a list of {count}{plural.get(item, f'values ({item})')}"


def _writable(kind: Any) -> bool:
    base: Any = typing.get_origin(kind) or kind
    if inspect.isclass(base) and issubclass(base, Mapping):
        return True
    return base in WORDS or base in LISTS or base is Literal


def adapt(value: object, kind: Any) -> object:
    """`value`, which fits, as the annotation has it.

    A float for a whole number where `kind` is float, a whole number for 1e4 and 10k where it is
    int, a tuple for a list where it names only tuples.
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return adapt(value, inner[0])
    if origin in UNIONS:
        takers = [one for one in inner if fits(value, one)]
        exact = [one for one in takers if type(value) is (typing.get_origin(one) or one)]
        first = [*exact, *takers][:1]
        return adapt(value, first[0]) if first else value
    if kind is int:
        return value if isinstance(value, bool) else whole(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) < 2**1000 else value
    base = origin or kind
    if isinstance(value, list | tuple) and base in LISTS:
        fixed = base is tuple and len(inner) == len(value) and Ellipsis not in inner
        kinds = inner if fixed else [inner[0] if inner else None] * len(value)
        items = [adapt(item, one) for item, one in zip(value, kinds, strict=True)]
        return tuple(items) if base is tuple else items
    return value


def finite(value: object) -> bool:
    """False for NaN and infinities, also within lists."""
    if isinstance(value, float):
        return math.isfinite(value)
    return all(map(finite, value)) if isinstance(value, list | tuple) else True
