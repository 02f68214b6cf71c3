"""Text that others may have written: read within bounds, every fault reported in one line.

Run folders, sweeps and studies are copied between people, so their files may be damaged, made by
another program, or made to do harm. Only regular files are read, of a bounded size; what they hold
are plain values of a bounded depth, finite and without anchors.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from gan_cli.errors import CheckpointError

LARGEST = 16 << 20  # bytes of a file
DEEPEST = 64  # values within values
WIDEST = 64  # bits of a whole number
LONGEST = 300  # characters of a number in YAML
MOST_STEPS = 1 << 53
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, ten times as fast
NAMES = ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")
FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in NAMES)


class ForeignError(CheckpointError):
    """A file or text that is not what it should be; the message says in one line why."""


@contextmanager
def open_file(path: Path) -> Iterator[BinaryIO]:
    """A regular file for reading; neither a link is followed nor a pipe waited for.

    Raises:
        FileNotFoundError: there is no such file.
        ForeignError: it is a link, a folder, a pipe or a device, or the operating system refuses.
    """
    handle, _ = _open(path)
    try:
        with os.fdopen(handle, "rb", closefd=False) as file:
            yield file
    except OSError as cause:
        raise ForeignError(f"{path}: cannot be read ({cause.strerror or cause})") from cause
    finally:
        os.close(handle)


def read_bytes(path: Path, largest: int = LARGEST) -> bytes:
    """The content of a regular file.

    Raises:
        FileNotFoundError: there is no such file.
        ForeignError: see `open_file`; or it is too large.
    """
    handle, size = _open(path)
    content = []
    try:
        while size <= largest and (piece := os.read(handle, size + 1)):
            content.append(piece)
            size = max(size, sum(map(len, content)))  # it may be growing
    except OSError as cause:
        raise ForeignError(f"{path}: cannot be read ({cause.strerror or cause})") from cause
    finally:
        os.close(handle)
    if size > largest:
        raise ForeignError(f"{path}: cannot be read (has more than {largest:,} bytes)")
    return b"".join(content)


def _open(path: Path) -> tuple[int, int]:
    """A handle of a regular file, and its size."""
    try:
        handle = os.open(path, FLAGS)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as cause:
        reason = "is a link" if path.is_symlink() else getattr(cause, "strerror", None) or cause
        raise ForeignError(f"{path}: cannot be read ({reason})") from cause
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise ForeignError(f"{path}: cannot be read (is not a regular file)")
    return handle, found.st_size


def read_text(path: Path, largest: int = LARGEST) -> str:
    """The content of a regular file that is UTF-8.

    Raises:
        FileNotFoundError: there is no such file.
        ForeignError: see `read_bytes`; or it is not UTF-8.
    """
    try:
        return read_bytes(path, largest).decode()
    except UnicodeDecodeError as cause:
        raise ForeignError(f"{path}: cannot be read (is not UTF-8 text)") from cause


def read_json(path: Path, largest: int = LARGEST) -> Any:
    """The plain values of a JSON file.

    Raises:
        FileNotFoundError: there is no such file.
        ForeignError: see `read_text` and `parse_json`.
    """
    return parse_json(read_text(path, largest), path)


def parse_json(text: str | bytes, name: object) -> Any:
    """The plain values of JSON.

    Args:
        text: UTF-8 where it is bytes.
        name: what messages call it.

    Raises:
        ForeignError: it is not JSON, or goes beyond the bounds.
    """
    try:
        return _plain(json.loads(text))
    except (ValueError, RecursionError) as cause:
        raise ForeignError(f"{name}: cannot be read ({_reason(cause)})") from cause


def point(line: bytes) -> tuple[int, dict[str, float]] | None:
    """A line of metrics.jsonl: its step and its numbers; None where it is no such line."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    step = found.pop("step", None) if isinstance(found, dict) else None
    if type(step) is not int or not 0 <= step < MOST_STEPS:
        return None
    return step, {k: value for k, v in found.items() if (value := number(v)) is not None}


def number(value: object) -> float | None:
    """A number, or the text of one that JSON does not know ("nan", "inf", "-inf"); else None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def parse_yaml(text: str, name: object, finite: bool = True) -> Any:
    """The plain values of one YAML document without tags and anchors; None where it is empty.

    Args:
        text: what is read.
        name: what messages call it.
        finite: refuse infinite numbers, which else are reported by whoever checks the values.

    Raises:
        ForeignError: it is not YAML, or goes beyond the bounds.
    """
    try:
        _check_events(text)
        return _plain(yaml.load(text, Loader=LOADER), finite)  # safe, as its name says
    except Exception as cause:  # PyYAML's constructors fail in any way: on dates, numbers, keys
        raise ForeignError(f"{name}: cannot be read ({_reason(cause)})") from cause


def _check_events(text: str) -> None:
    """Refuse, before anything is built, what would be built for ever or overflow the stack."""
    loader, depth = LOADER(text), 0
    try:
        while loader.check_event():
            event = loader.get_event()
            if isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            elif isinstance(event, yaml.NodeEvent) and event.anchor is not None:
                raise ValueError("has anchors or aliases; write the values out")
            elif (tag := getattr(event, "tag", None)) is not None:
                raise ValueError(f"has a tag, {tag}; only plain values may be there")
            elif isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                _check_depth(depth)
            elif isinstance(event, yaml.ScalarEvent):
                plain, digits = event.implicit[0], len(event.value)
                if plain and digits > LONGEST and _numeric(event.value):
                    raise ValueError(f"has a number of {digits:,} digits")
    finally:
        loader.dispose()


def _numeric(value: str) -> bool:
    return value[0] in "+-.0123456789" and not value.strip("+-.:_0123456789abcdefxABCDEF")


def _check_depth(depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError(f"has more than {DEEPEST} levels")


def _plain(root: Any, finite: bool = True) -> Any:
    """`root`, checked: plain values, `finite` ones, keys that are text or whole numbers.

    Raises:
        ValueError: something else is in it, or it is too deep.
    """
    left: list[tuple[Any, int]] = [(root, 1)]
    while left:
        value, depth = left.pop()
        if isinstance(value, dict | list):
            _check_depth(depth)
            inside: Iterable[Any] = value
            if isinstance(value, dict):
                if odd := [key for key in value if type(key) not in (str, int)]:
                    raise ValueError(f"has a key that is not text, {_short(odd[0])}")
                inside = value.values()
            left += [(item, depth + 1) for item in inside]
        elif isinstance(value, bool | str | None):
            continue
        elif isinstance(value, int):
            if value.bit_length() > WIDEST:
                raise ValueError(f"has a whole number of more than {WIDEST} bits")
        elif not isinstance(value, float):
            raise ValueError(f"has a {type(value).__name__}, {_short(value)}; write it in quotes")
        elif finite and not math.isfinite(value):
            raise ValueError(f"has a number that is not finite, {value}")
    return root


def _short(value: object) -> str:
    return repr(value)[:40]


def _reason(cause: Exception) -> str:
    if isinstance(cause, RecursionError):
        return f"has more than {DEEPEST} levels"
    if isinstance(cause, yaml.MarkedYAMLError):  # its text would repeat lines of the file
        mark = cause.problem_mark or cause.context_mark
        place = f" in line {mark.line + 1}" if mark else ""
        return f"is not YAML: {cause.problem or cause.context}{place}"
    if isinstance(cause, json.JSONDecodeError):
        return f"is not JSON: {cause.msg} in line {cause.lineno}"
    text = " ".join(str(cause).split())
    if type(cause) is ValueError and text.startswith("Exceeds the limit"):  # Python's, of digits
        return "has a number that is too long"
    return (
        text[:200]
        if type(cause) is ValueError and text
        else f"{type(cause).__name__}: {text[:150]}"
    )
