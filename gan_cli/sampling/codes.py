"""What the user fixes by name: latent codes (`category=3,code1=-1.5`) and a class."""

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


@dataclass(frozen=True)
class Place:
    """The position of a code in the latent."""

    name: str
    start: int
    categories: int = 0  # 0 for a continuous code, which takes one dimension

    def read(self, text: str) -> tuple[int, Tensor]:
        """The place and the values that `text` asks for.

        Raises:
            ConfigError: no number, or no such category.
        """
        if self.categories:
            if not re.fullmatch("[0-9]{1,9}", text) or int(text) >= self.categories:
                raise ConfigError(
                    f"--code {self.name}={text}: a category from 0 to {self.categories - 1} is "
                    "required"
                )
            return self.start, one_hot(torch.tensor(int(text)), self.categories).float()
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ConfigError(f"--code {self.name}={text}: a number is required")
        return self.start, torch.tensor([value])


@dataclass(frozen=True)
class Codes:
    """Fixed values for some dimensions of latents."""

    values: tuple[tuple[int, Tensor], ...] = ()

    def put(self, z: Tensor) -> Tensor:
        """`z` [n, dim] with these values."""
        z = z.clone()
        for start, value in self.values:
            z[:, start : start + len(value)] = value
        return z

    @classmethod
    def parse(cls, text: str, prior: Prior | None) -> Self:
        """Read `name=value,name=value`, with the names of `places`.

        Raises:
            ConfigError: the prior has no parts, no such part, or a value does not fit.
        """
        known = places(prior)
        if not known:
            raise ConfigError(f"--code {text}: this model has no codes; model=infogan learns some")
        values: dict[str, tuple[int, Tensor]] = {}
        for item in text.split(","):
            name, equals, value = (word.strip() for word in item.partition("="))
            if not equals:
                raise ConfigError(f"--code {text}: name=value,name=value is required")
            if name not in known:
                near = hint(name, known)
                raise ConfigError(f"--code {name}: unknown code{near}; {_list(known)}")
            if name in values:
                raise ConfigError(f"--code {text}: {name} is given twice")
            values[name] = known[name].read(value)
        return cls(tuple(values.values()))


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


def class_of(text: str, model: Model) -> int:
    """The class that --class names.

    Raises:
        ConfigError: the model is not conditional, or has no such class.
    """
    data = model.data
    if not model.conditional:
        raise ConfigError(
            f"--class {text}: this model knows no classes; model=cgan and model=cvae do"
        )
    index = class_index(text, data.class_names, data.classes)
    if index is not None:
        return index
    near = "" if text.isdigit() else hint(text, data.class_names)
    alike = [name for name in data.class_names if name.lower() == text.lower()]
    if len(alike) > 1:
        raise ConfigError(f"--class {text}: is {' or '.join(alike)}; write it as it is spelled")
    indices = "" if any(map(_is_number, data.class_names)) else f"0 to {data.classes - 1}"
    listed = ": ".join(filter(None, (indices, ", ".join(data.class_names[:20]))))
    raise ConfigError(f"--class {text}: unknown class{near}; available: {listed}")


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
