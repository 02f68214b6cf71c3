"""Faults of a model's settings, listed at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.priors import Gaussian, Prior


def below(settings: Mapping[str, float], least: int) -> Iterator[str]:
    """A fault for each of the model's settings that is less than `least`."""
    words = "must not be negative" if least == 0 else f"must be at least {least}"
    for name, value in settings.items():
        if value < least:
            yield f"model.{name} = {value:g}: {words}"


def one_of(name: str, value: str, choices: tuple[str, ...]) -> Iterator[str]:
    """The fault of a setting that is not one of `choices`."""
    if value not in choices:
        yield f"model.{name} = {value}: must be {', '.join(choices[:-1])} or {choices[-1]}"


def without_classes(setting: str, data: DataSpec, instead: str = "") -> Iterator[str]:
    """The fault of a setting that needs data of at least two classes.

    Args:
        setting: such as "model.conditional = true".
        data: its description.
        instead: what to set instead.
    """
    if data.classes < 2:
        found = f"only one class, {data.class_names[0]}" if data.classes else "no labels"
        yield f"{setting}: data={data.name} has {found}{instead and f'; use {instead}'}"


def not_normal(prior: Prior, why: str) -> Iterator[str]:
    """The fault of a prior other than the standard normal that a model needs."""
    if not isinstance(prior, Gaussian):
        yield f"prior = {type(prior).__name__.lower()}: {why}; set prior=gaussian"


def refuse(faults: Iterable[str]) -> None:
    """Raise all faults of a model's settings at once.

    Raises:
        ConfigError: lists the faults, one per line, if any.
    """
    found = list(faults)
    if found:
        raise ConfigError("\n".join(found))
