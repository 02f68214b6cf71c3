"""The settings of a study: `tune.key=value` on the command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from gan_cli.config.faults import validate
from gan_cli.config.overrides import UNSET
from gan_cli.config.schema import Count, Folder, Seconds, Strict, Text, Whole
from gan_cli.errors import ConfigError
from gan_cli.formatting import unquoted

PREFIX = "tune."
RANGE = re.compile(r"\s*(\d+)\s*\.\.\s*(\d+)\s*", re.ASCII)
SCIENTIFIC = re.compile(r"[+-]?\d+(\.\d*)?e[+-]?\d+", re.ASCII | re.IGNORECASE)
TEXTS = ("dir", "storage", "metric")
MOST_SEEDS = 1000


def _seeds(value: object) -> object:
    """`3`, `1,2,3`, `[1,2,3]` and `1..3` as a list."""
    if isinstance(value, str):
        if match := RANGE.fullmatch(value):
            first, last = int(match[1]), int(match[2])
            value = list(range(first, last + 1)) if last - first < MOST_SEEDS else []
        else:
            parts = [part.strip() for part in value.split(",")]
            value = [int(p) for p in parts if p.isascii() and p.isdigit()]
            value = value if len(value) == len(parts) else []
    elif isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    good = isinstance(value, list) and all(type(v) is int and 0 <= v < 2**63 for v in value)
    if not value or not good or len(set(value)) < len(value):  # type: ignore[arg-type]
        message = "must be different whole numbers, such as 0, 1,2,3 or 1..3"
        raise PydanticCustomError("asked", message)
    return value


class Tune(Strict):
    """What is searched, how far, and where it is kept."""

    metric: Text  # as in metrics.jsonl
    direction: Literal["auto", "minimize", "maximize"] = "auto"
    value: Literal["best", "last"] = "best"  # which point of the curve a trial is judged by
    trials: Count = 50  # of the whole study, over all commands and machines
    max_time: Seconds = None  # of this command
    space: dict[str, Any] = Field({})  # beside what the command line gives as ranges
    seeds: Annotated[list[int], BeforeValidator(_seeds)] = Field([0])
    seed: Annotated[Whole, Field(ge=0, lt=2**32)] = 0  # of the search
    sampler: Literal["tpe", "random"] = "tpe"
    pruner: Literal["hyperband", "asha", "median", "none"] = "hyperband"
    workers: Annotated[Whole, Field(ge=1, le=256)] = 1
    gpus: Annotated[Whole, Field(ge=1, le=64)] | None = None
    dir: Folder | None = None
    storage: Text | None = None


def read(argv: Sequence[str]) -> tuple[Tune, list[str]]:
    """The study's settings, and the words that are gan-train's.

    Raises:
        ConfigError: lists every fault.
    """
    values: dict[str, Any] = {}
    rest = []
    for word in argv:
        if not word.strip():
            raise ConfigError(f"an argument is empty{UNSET}")
        key, equals, text = word.partition("=")
        key = key.lstrip("+")
        if key.startswith(PREFIX) and equals:
            name = key.removeprefix(PREFIX)
            values[name] = _text(text) if name in TEXTS else _parsed(text)
        else:
            rest.append(word)
    faults = validate(Tune, values, "tune")
    if "metric" not in values:
        faults = [fault for fault in faults if not fault.startswith("tune.metric: missing")]
        faults.insert(0, "tune.metric: must be given, such as tune.metric=metrics/fid_classifier")
    if faults:
        raise ConfigError("\n".join(faults))
    return Tune.model_validate(values), rest


def _text(text: str) -> str | None:
    """A setting that is text, also where it looks like a number or a date."""
    return None if text.strip() == "null" else unquoted(text)


def _parsed(text: str) -> Any:
    if SCIENTIFIC.fullmatch(text.strip()):  # text to YAML, unlike 1.0e+4
        return float(text)
    try:
        return yaml.safe_load(text) if text.strip() else text  # which is no way to say null
    except (yaml.YAMLError, ValueError):  # such as a date that does not exist
        return text
