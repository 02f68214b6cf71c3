"""Latent codes that the user sets by name: `category=3,code1=-1.5`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from gan_cli.errors import ConfigError
from gan_cli.formatting import hint
from gan_cli.priors import Categorical, Prior, Product


@dataclass(frozen=True)
class Place:
    """Where a code lies in the latent."""

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
    """Values that latents shall have at some places."""

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
