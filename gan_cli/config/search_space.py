"""Ranges in overrides, by Hydra's grammar: `a,b`, `choice(...)`, `range(...)`, `interval(...)`."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gan_cli.config import groups
from gan_cli.config.command_line import Command
from gan_cli.errors import ConfigError
from gan_cli.formatting import show


@dataclass(frozen=True)
class Dimension:
    """A setting that takes one of several values.

    Attributes:
        key: of the setting, or the group.
        kind: of its values. `choices` are those of "choice", as one would type them; the others
            lie between `low` and `high`, both included, at distances of `step` where there is one.
        log: whether small values are as likely as large ones.
    """

    key: str
    kind: Literal["choice", "int", "float"]
    choices: tuple[str, ...] = ()
    low: float = 0
    high: float = 0
    step: float | None = None
    log: bool = False

    def probes(self) -> list[str]:
        """Values that stand for all: every choice, or both ends and one between them."""
        if self.choices:
            return list(self.choices)
        if self.kind == "int" or self.step is not None:
            return [repr(self.low), repr(self.high)]
        inside = self.low + (self.high - self.low) / math.pi  # not a whole number
        return [repr(self.low), repr(self.high), repr(inside)]

    def __str__(self) -> str:
        if self.kind == "choice":
            return ", ".join(self.choices)
        by = f" by {self.step:g}" if self.step not in (None, 1) else ""
        return f"{self.low:g} to {self.high:g}{by}{', log' if self.log else ''}"


def dimensions(command: Command) -> tuple[list[Dimension], list[str]]:
    """The ranges among a command's overrides, and its other overrides as typed.

    Raises:
        ConfigError: a range that cannot be searched; all of them, one on a line.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException, OverrideParseException

    from gan_cli.config.hydra_errors import explain

    found: dict[str, Dimension] = {}
    faults: list[str] = []
    for text in command.for_hydra:
        try:
            override = OverridesParser.create().parse_override(text)
            if override.is_sweep_override():
                key = override.get_key_element().lstrip("+")
                if key in found:
                    raise ConfigError(f"{key}: has two ranges; give one")
                found[key] = _dimension(key, override.value(), command.config_dirs)
        except OverrideParseException as error:
            faults.append(explain(error) or str(error))
        except HydraException as error:  # of choice(null) and the like, which Hydra cannot have
            faults.append(f"{_key(text)}: {str(error).splitlines()[-1]}")
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError("\n".join(faults))
    plain = [text for text in command.overrides if _key(text) not in found]
    return list(found.values()), plain


def _key(override: str) -> str:
    return override.partition("=")[0].strip().lstrip("+~")


def _dimension(key: str, sweep: Any, folders: list[Path]) -> Dimension:
    from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, RangeSweep

    if isinstance(sweep, Glob):
        return _choice(key, list(_globbed(key, sweep, folders)))
    if strange := sweep.tags - {"log"}:
        raise ConfigError(f"{key}: tag {min(strange)} has no meaning here; only log has")
    log = "log" in sweep.tags
    if log and not isinstance(sweep, IntervalSweep):
        raise ConfigError(f"{key}: only an interval can be logarithmic: tag(log,interval(1,100))")
    if isinstance(sweep, IntervalSweep):
        return _interval(key, sweep.start, sweep.end, log)
    if isinstance(sweep, RangeSweep):
        return _range(key, sweep.start or 0, sweep.stop, sweep.step)
    assert isinstance(sweep, ChoiceSweep)
    return _choice(key, [_typed(item) for item in sweep.list])


def _choice(key: str, texts: list[str]) -> Dimension:
    texts = list(dict.fromkeys(texts))
    if not texts:
        raise ConfigError(f"{key}: has no values to choose from")
    return Dimension(key, "choice", tuple(texts))


def _interval(key: str, low: Any, high: Any, log: bool) -> Dimension:
    shown = f"interval({show(low)},{show(high)})"
    if low >= high:
        raise ConfigError(f"{key} = {shown}: the first number must be the smaller one")
    if log and low <= 0:
        raise ConfigError(f"{key} = {shown}: a logarithmic interval must begin above 0")
    if isinstance(low, int) and isinstance(high, int):
        return Dimension(key, "int", low=low, high=high, step=1, log=log)
    return Dimension(key, "float", low=low, high=high, log=log)


def _range(key: str, start: Any, stop: Any, step: Any) -> Dimension:
    """As in Hydra and Python, `stop` itself is not one of the values."""
    if step == 0 or (stop - start) / step <= 0:
        raise ConfigError(f"{key} = range({show(start)},{show(stop)},{show(step)}): is empty")
    count = -int(-(stop - start) / step // 1)
    last = start + (count - 1) * step
    whole = all(isinstance(number, int) for number in (start, stop, step))
    low, high = min(start, last), max(start, last)
    if not whole:  # rounding leaves .30000000000000004
        low, high = float(f"{low:.12g}"), float(f"{high:.12g}")
    return Dimension(key, "int" if whole else "float", low=low, high=high, step=abs(step))


def _globbed(key: str, glob: Any, folders: list[Path]) -> Iterator[str]:
    if not groups.is_group(key, folders):
        raise ConfigError(f"{key}: glob(...) is for groups; write the values, with commas between")
    for name in groups.options(key, folders):
        if any(fnmatch.fnmatch(name, p) for p in glob.include) and not any(
            fnmatch.fnmatch(name, pattern) for pattern in glob.exclude
        ):
            yield name


def _typed(item: Any) -> str:
    from hydra.core.override_parser.types import Override

    text = Override._get_value_element_as_str(item)
    return text.lower() if text in ("True", "False") else text
