"""Values against annotations of constructors: whether one fits, as what, and what is required."""

from __future__ import annotations

import inspect
import json
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from decimal import Decimal
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Union

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import SchemaError

from gan_cli.formatting import any_of

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
    """A whole number that is written as 1e4, 10k or 2.5M; any other value unchanged."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and (match := COUNT.fullmatch(value)):
        number = Decimal(match[1]) * THOUSANDS[match[2]]
        return int(number) if number == number.to_integral_value() else value
    return value


def argument_kinds(target: type) -> dict[str, Any]:
    """The annotations of a constructor's arguments; empty where they cannot be resolved."""
    try:
        # A dataclass may inherit fields, whose types are names of the base's own module.
        return typing.get_type_hints(target if is_dataclass(target) else target.__init__)
    except (NameError, TypeError, AttributeError):  # names that exist for type checkers alone
        return {}


def fitted(value: object, kind: Any) -> object:
    """A plain value as the annotation `kind` has it, such as a tuple for a list.

    Without an annotation, or with one that pydantic does not know, anything fits.

    Raises:
        ValueError: `value` does not fit.
    """
    adapter = None if kind is None else _adapter(kind)
    if adapter is None:
        return value
    for written in (value, _wholes(value)):
        with suppress(ValidationError, TypeError):
            # As JSON, in which strict pydantic takes lists for tuples and text for paths.
            return adapter.validate_json(json.dumps(written))
    raise ValueError(f"must be {describe(kind)}")


def _wholes(value: object) -> object:
    """`value` with `whole` of each number and text in it."""
    if isinstance(value, list | tuple):
        return [_wholes(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _wholes(item) for key, item in value.items()}
    return whole(value)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any] | None:
    config = ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False)
    if typing.get_origin(kind) is Iterable:
        kind = list[typing.get_args(kind)[0]]  # of which pydantic would make an iterator
    try:
        return TypeAdapter(kind, config=config)
    except (PydanticUserError, SchemaError):  # as for protocols
        return None


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
    return None if getattr(kind, "_is_protocol", False) else (kind,)


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
