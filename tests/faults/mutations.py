"""Damage and malice: bytes, plain values, archives and pickles as a stranger may have made them.

Every function takes a `random.Random`, so that a case is known by its seed.
"""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch

NUMBERS = [0, -1, 1, 2, 7, 2**31, 2**53, 2**63, 2**64, 10**30, 0.5, -0.0, 1e-300, 1e300]
NUMBERS += [float("nan"), float("inf"), float("-inf")]
TEXTS = ["", " ", "x", "null", "nan", "1e999", "é\u202e", "a\nb", "a\0b", "\x1b[31m", "../../x"]
TEXTS += ["/etc/passwd", "~", "${seed}", "${oc.env:HOME}", "<script>alert(1)</script>", "\ud800"]
TEXTS += ["x" * 100_000, "os.system", "gan_cli.files.write", "torch.hub.load", "2020-02-30"]
PLAIN: list[Any] = [*NUMBERS, *TEXTS, None, True, False, [], {}, [[]], {"a": {"b": 1}}, [None]]


def damaged(some: Random, content: bytes) -> bytes:
    """Bytes with flipped bits, other values, a part cut out, doubled or replaced, or an end."""
    made = bytearray(content)
    for _ in range(some.choice((1, 1, 1, 4, 32))):
        size = len(made)
        if not size:
            return some.randbytes(some.choice((0, 1, 100)))
        at, length = some.randrange(size), min(size, some.choice((1, 2, 4, 8, 100, 1000)))
        match some.randrange(7):
            case 0:
                made[at] ^= 1 << some.randrange(8)
            case 1:
                made[at] = some.choice((0, 1, 0x7F, 0x80, 0xFF, some.randrange(256)))
            case 2:
                made[at : at + length] = some.choice((b"\xff", b"\0")) * length
            case 3:
                del made[at : at + length]
            case 4:
                made[at:at] = made[at : at + length]
            case 5:
                del made[some.choice((at, size - 1, min(size, 20))) :]
            case 6:
                made[at:at] = some.randbytes(length)
    return bytes(made)


def changed(some: Random, value: Any) -> Any:
    """A copy of nested plain values with one to three of them replaced, dropped or added."""
    made = copy.deepcopy(value)
    for _ in range(some.choice((1, 1, 2, 3))):
        made = _changed(some, made)
    return made


def _changed(some: Random, value: Any) -> Any:
    if isinstance(value, dict) and value and some.random() < 0.9:
        key = some.choice(list(value))
        match some.randrange(6):
            case 0:
                del value[key]
            case 1:
                value[some.choice((*TEXTS[:8], 3))] = some.choice(PLAIN)
            case _:
                value[key] = _changed(some, value[key])
        return value
    if isinstance(value, list) and value and some.random() < 0.8:
        at = some.randrange(len(value))
        match some.randrange(5):
            case 0:
                del value[at]
            case 1:
                value.extend(value[:1] * some.choice((1, 1000)))
            case _:
                value[at] = _changed(some, value[at])
        return value
    if isinstance(value, str) and some.random() < 0.3:
        return value + some.choice(TEXTS)
    return copy.deepcopy(some.choice(PLAIN))


def deep(some: Random) -> str:
    """Values within values, as JSON and YAML."""
    opening, closing = some.choice((("[", "]"), ('{"a":', "}")))
    depth = some.choice((60, 70, 2000, 100_000))
    return opening * depth + "1" + closing * some.choice((depth, depth - 1))


def json_of(some: Random, value: Any) -> bytes:
    """A JSON file with other values, damage, or neither."""
    match some.randrange(10):
        case 0:
            return deep(some).encode()
        case 1 | 2 | 3:
            return damaged(some, json.dumps(value).encode())
        case _:
            return json.dumps(changed(some, value)).encode(errors="surrogatepass")


class Attack:
    """Makes the file `proof` when it is unpickled."""

    def __init__(self, call: Callable[..., object], *arguments: object) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> Any:
        return self.call, self.arguments


def attack(some: Random, proof: Path) -> Attack:
    """One that runs a command, or Python, or writes a file."""
    code = f"open({str(proof)!r}, 'w').close()"
    calls: list[tuple[Callable[..., object], tuple[object, ...]]] = [
        (os.system, (f"touch {proof}",)),
        (exec, (code,)),
        (eval, (code,)),
        (os.mkdir, (str(proof),)),
        (io.open, (str(proof), "w")),
        (getattr, (os, "system")),
    ]
    call, arguments = some.choice(calls)
    return Attack(call, *arguments)


def odd_tensor(some: Random) -> torch.Tensor:
    """A tensor whose shape, type or values no network has."""
    some_tensors: list[Callable[[], torch.Tensor]] = [
        lambda: torch.zeros(1).expand(2**40),  # of one value, as long as a terabyte
        lambda: torch.zeros(0),
        lambda: torch.zeros(()),
        lambda: torch.full((8, 8), float("nan")),
        lambda: torch.zeros(3, dtype=torch.complex64),
        lambda: torch.zeros(3, dtype=torch.bool),
        lambda: torch.zeros(8, 2, dtype=torch.float64),
        lambda: torch.eye(8).to_sparse(),
        lambda: torch.zeros((1,) * 40),
        lambda: torch.zeros(2, 8).t(),
        lambda: torch.nn.Parameter(torch.zeros(8)),
    ]
    return some.choice(some_tensors)()


def repacked(some: Random, content: bytes) -> bytes:
    """A ZIP file whose members are compressed, doubled, dropped, renamed, swelled or damaged."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        names = old.namelist()
        target, what = some.choice(names), some.randrange(7)
        for name in names:
            data = old.read(name)
            kind = zipfile.ZIP_DEFLATED if what in (0, 1) else zipfile.ZIP_STORED
            if name == target:
                match what:
                    case 1:
                        data = bytes(1 << some.choice((20, 27)))  # of zeros
                    case 2:
                        continue
                    case 3:
                        new.writestr(f"copy/{name}", data)
                    case 4:
                        name = some.choice(("../../x", "/x", "x" * 60_000, "a\nb", ""))
                    case 5:
                        data = damaged(some, data)
                    case 6:
                        data = pickle.dumps(PLAIN) if name.endswith(".pkl") else data * 2
            new.writestr(zipfile.ZipInfo(name), data, kind)
    return made.getvalue()
