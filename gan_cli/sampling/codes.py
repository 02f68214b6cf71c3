"""What the user fixes by name: latent codes (`category=3`, `code1=-1:1:7`) and classes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from gan_cli.errors import ConfigError
from gan_cli.formatting import hint
from gan_cli.model import Model
from gan_cli.priors import Categorical, Prior, Product

SWEPT = 10  # values of a range of a continuous code that does not say how many
MOST_SWEPT = 1000


@dataclass(frozen=True)
class Place:
    """The position of a code in the latent."""

    name: str
    start: int
    categories: int = 0  # 0 for a continuous code, which takes one dimension

    @property
    def width(self) -> int:
        """The number of dimensions that it takes."""
        return self.categories or 1

    def read(self, text: str) -> Tensor:
        """The values that `text` asks for, [values, width]: one, or those of a range.

        Raises:
            ConfigError: no number, no such category, or no such range.
        """
        first, *rest = text.split(":")
        if self.categories:
            ends = [self._category(text, end) for end in (first, *rest)]
            if len(ends) > 2:
                raise ConfigError(f"--code {self.name}={text}: FIRST:LAST are all from one on")
            step = 1 if ends[0] <= ends[-1] else -1
            chosen = torch.arange(ends[0], ends[-1] + step, step)
            return one_hot(chosen, self.categories).float()
        if len(rest) > 2:
            raise ConfigError(f"--code {self.name}={text}: a number or FIRST:LAST:COUNT is needed")
        ends = [self._number(text, end) for end in (first, *rest[:1])]
        count = rest[1] if len(rest) == 2 else str(SWEPT)
        if not re.fullmatch("[0-9]{1,9}", count) or not 2 <= int(count) <= MOST_SWEPT:
            raise ConfigError(
                f"--code {self.name}={text}: a count from 2 to {MOST_SWEPT} is required"
            )
        return torch.linspace(ends[0], ends[-1], int(count) if rest else 1)[:, None]

    def _category(self, text: str, one: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", one) or int(one) >= self.categories:
            raise ConfigError(
                f"--code {self.name}={text}: a category from 0 to {self.categories - 1} is required"
            )
        return int(one)

    def _number(self, text: str, one: str) -> float:
        try:
            value = float(one)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ConfigError(f"--code {self.name}={text}: a number is required")
        return value


@dataclass(frozen=True)
class Codes:
    """Values for some dimensions of latents: each combination of them in turn.

    Attributes:
        values: the first dimension of each code and its values [values, width]; the last code
            varies fastest.
    """

    values: tuple[tuple[int, Tensor], ...] = ()

    @property
    def count(self) -> int:
        """The number of combinations."""
        return math.prod(len(values) for _, values in self.values)

    @property
    def columns(self) -> int:
        """The number of values of the last code that has several; 1 where none has."""
        return next((len(v) for _, v in reversed(self.values) if len(v) > 1), 1)

    def put(self, z: Tensor, combination: Tensor | None = None) -> Tensor:
        """`z` [n, dim] with the values of each one's combination [n]; by default the first."""
        z = z.clone()
        rest = torch.zeros(len(z), dtype=torch.int64) if combination is None else combination
        for start, values in reversed(self.values):
            z[:, start : start + values.shape[1]] = values[rest % len(values)]
            rest = rest // len(values)
        return z

    @classmethod
    def parse(cls, texts: Sequence[str], prior: Prior | None) -> Self:
        """Read `name=value`, several also with commas between them, by the names of `places`.

        Raises:
            ConfigError: the prior has no parts, no such part, or a value does not fit.
        """
        values: dict[str, tuple[int, Tensor]] = {}
        for text in texts:
            for item in text.split(","):
                name, equals, value = (word.strip() for word in item.partition("="))
                if not equals and places(prior):
                    raise ConfigError(f"--code {text}: name=value,name=value is required")
                place = code_named(name, f"--code {text}", prior)
                if place.name in values:
                    raise ConfigError(f"--code {text}: {place.name} is given twice")
                values[place.name] = place.start, place.read(value)
        return cls(tuple(values.values()))


def code_named(name: str, said: str, prior: Prior | None) -> Place:
    """The code `name`, of which the first letter and the number are enough (`c1` is `code1`).

    Args:
        name: of one code.
        said: the option that names it, with which the message begins.
        prior: of the model.

    Raises:
        ConfigError: the prior has no parts, or none of this name.
    """
    known = places(prior)
    if not known:
        raise ConfigError(f"{said}: this model has no codes; model=infogan learns some")
    short = [place for place in known.values() if _short(place.name) == name]
    if name in known or len(short) == 1:
        return known.get(name) or short[0]
    option = said.partition(" ")[0]
    raise ConfigError(f"{option} {name}: unknown code{hint(name, known)}; {_list(known)}")


def _short(name: str) -> str:
    return re.sub("^([a-z])[a-z_]*([0-9]+)$", r"\1\2", name)


def places(prior: Prior | None) -> dict[str, Place]:
    """The codes of a `Product` prior by name.

    A categorical part has its own name, another part its name and a number from 1 on, without a
    plural's s (`codes` has `code1`, `code2`), or its name alone where it has one dimension.
    """
    known: dict[str, Place] = {}
    start = 0
    for name, part in (prior.parts if isinstance(prior, Product) else {}).items():
        if isinstance(part, Categorical):
            known[name] = Place(name, start, part.dim)
        elif part.dim == 1:
            known[name] = Place(name, start)
        else:
            for i in range(part.dim):
                one = f"{name.removesuffix('s')}{i + 1}"
                known[one] = Place(one, start + i)
        start += part.dim
    return known


def _list(known: dict[str, Place]) -> str:
    few = [f"{p.name}=0..{p.categories - 1}" for p in known.values() if p.categories]
    rest = [p.name for p in known.values() if not p.categories]
    if len(rest) > 6:  # of the noise, the first and the last will do
        groups: dict[str, list[str]] = {}
        for name in rest:
            groups.setdefault(name.rstrip("0123456789"), []).append(name)
        rest = [g[0] if len(g) == 1 else f"{g[0]}..{g[-1]}" for g in groups.values()]
    return f"available: {', '.join([*few, *rest])}"


def classes_of(text: str, model: Model) -> tuple[int, ...]:
    """The classes that --class names: one, several with commas between them, ranges as 0-9.

    Raises:
        ConfigError: the model is not conditional, or has no such class.
    """
    data = model.data
    if class_index(text, data.class_names, data.classes) is not None:
        return (class_of(text, model),)
    found: list[int] = []
    for item in text.split(","):
        first, dash, last = item.partition("-")
        ends = [class_index(end, data.class_names, data.classes) for end in (first, last)]
        whole = class_index(item, data.class_names, data.classes)
        if dash and whole is None and None not in ends and model.conditional:
            low, high = (end for end in ends if end is not None)
            if low > high:
                raise ConfigError(f"--class {text}: {first} comes after {last}")
            found += range(low, high + 1)
        else:
            found.append(class_of(item, model))
    return tuple(found)


def class_of(text: str, model: Model, option: str = "--class") -> int:
    """The class of this name or number, which `option` has given.

    Raises:
        ConfigError: the model is not conditional, or has no such class.
    """
    data = model.data
    if not model.conditional:
        raise ConfigError(
            f"{option} {text}: this model knows no classes; model=cgan, acgan or cvae do"
        )
    return known_class(text, data.class_names, data.classes, f"{option} {text}")


def known_class(text: str, names: Sequence[str], classes: int, option: str) -> int:
    """The class of this name or number, among `classes`.

    Raises:
        ConfigError: there is no such class; `option` begins the message.
    """
    index = class_index(text, names, classes)
    if index is not None:
        return index
    near = "" if text.isdigit() else hint(text, names)
    alike = [name for name in names if name.lower() == text.lower()]
    if len(alike) > 1:
        raise ConfigError(f"{option}: is {' or '.join(alike)}; write it as it is spelled")
    indices = "" if any(map(_is_number, names)) else f"0 to {classes - 1}"
    listed = ": ".join(filter(None, (indices, ", ".join(names[:20]))))
    raise ConfigError(f"{option}: unknown class{near}; available: {listed}")


def class_index(text: str, names: Sequence[str], classes: int) -> int | None:
    """The index of the class `text`; None where there is none.

    Its exact name, its name in any case where only one class has it, or its index where no name
    is itself a number.
    """
    if text in names:
        return names.index(text)
    alike = [index for index, name in enumerate(names) if name.lower() == text.lower()]
    if len(alike) == 1:
        return alike[0]
    if _is_number(text) and not any(map(_is_number, names)) and int(text) < classes:
        return int(text)
    return None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20
