"""What is wrong with a model's settings, said in one go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from gan_cli.errors import ConfigError


def below(settings: Mapping[str, float], least: int) -> Iterator[str]:
    """What is wrong with those of the model's settings that are less than `least` (0 or 1)."""
    words = "must not be negative" if least == 0 else f"must be at least {least}"
    for name, value in settings.items():
        if value < least:
            yield f"model.{name} = {value:g}: {words}"


def one_of(name: str, value: str, choices: tuple[str, ...]) -> Iterator[str]:
    """What is wrong with a setting that must be one of `choices`."""
    if value not in choices:
        yield f"model.{name} = {value}: must be {', '.join(choices[:-1])} or {choices[-1]}"


def refuse(faults: Iterable[str]) -> None:
    """Say all that is wrong with a model's settings.

    Raises:
        ConfigError: there is any fault, one on a line.
    """
    found = list(faults)
    if found:
        raise ConfigError("\n".join(found))
