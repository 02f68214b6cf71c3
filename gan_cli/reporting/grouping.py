"""Runs that differ by their seed alone are one configuration; which settings tell others apart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gan_cli.config.reproducing import Origin, origin
from gan_cli.config.wording import show
from gan_cli.runs.record import Record
from gan_cli.runs.resume import SAFE, SAFE_GROUPS, SAFE_KEYS

HERE = tuple(key for key in SAFE if key != "max_time")  # a time limit does change what is learned
NOT_SET = "-"
GROUPS = ("model", "data", "experiment", "network", "loss", "penalty", "prior", "optimizer")
MOST_COLUMNS = 6  # that are added to tell two configurations apart


@dataclass
class Configuration:
    """Runs of the same settings, and what sets them apart from the others."""

    records: list[Record]
    origin: Origin
    settings: dict[str, str]  # the settings that differ between configurations
    label: str = ""

    @property
    def seeds(self) -> list[int]:
        """The seeds that were run, each once."""
        return sorted({r.seed for r in self.records if r.seed is not None})

    @property
    def command(self) -> str:
        """The line that trains all its seeds again."""
        return self.origin.command(self.seeds)


def group(records: Sequence[Record]) -> list[Configuration]:
    """The configurations, in the order of their first runs."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(_identity(record), []).append(record)
    made = [Configuration(some, origin(some[0].config), {}) for some in found.values()]
    columns = _columns(made)
    for one in made:
        config = one.records[0].config
        one.settings = {column: value_of(config, column) for column in columns}
    _name(made)
    return made


def _identity(record: Record) -> str:
    if not record.config:
        return str(record.folder.path)
    return json.dumps(dict(_learned(record.config)), sort_keys=True, default=str)


def _learned(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The settings on which it depends what is learned, the seed aside."""
    for key, value in leaves(config):
        root = key.partition(".")[0]
        if key in ("seed", *HERE, *SAFE_KEYS) or root in (*SAFE_GROUPS, "choices"):
            continue
        if value is not None:
            yield key, value


def leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def value_of(config: Mapping[str, Any], key: str) -> str:
    """The option of a group or the value of a setting, as one would type it."""
    choices = config.get("choices")
    if isinstance(choices, Mapping) and key in choices:
        return str(choices[key])
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return NOT_SET
        node = node[part]
    return show(node)


def _columns(made: Sequence[Configuration]) -> list[str]:
    """The settings that were chosen for some and differ, then what else tells twins apart."""
    configs = [one.records[0].config for one in made]
    chosen: dict[str, None] = {}
    for one in made:
        chosen |= dict.fromkeys(key for key in one.origin.keys if _tells(key))
    keys = sorted(chosen, key=lambda key: GROUPS.index(key) if key in GROUPS else len(GROUPS))
    columns = [key for key in keys if len({value_of(config, key) for config in configs}) > 1]
    twins: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for config in configs:
        same = tuple(value_of(config, column) for column in columns)
        twins.setdefault(same, []).append(dict(_learned(config)))
    for some in twins.values():
        keys = dict.fromkeys(key for config in some for key in config)
        differ = [k for k in keys if len({str(config.get(k)) for config in some}) > 1]
        columns += [key for key in differ if key not in columns][:MOST_COLUMNS]
    return columns


def _tells(key: str) -> bool:
    root = key.partition(".")[0]
    aside = set(SAFE_GROUPS) - {"experiment"}
    return key not in ("seed", *HERE, *SAFE_KEYS) and root not in aside


def _name(made: Sequence[Configuration]) -> None:
    """Give each configuration a short label of its own."""
    for one in made:
        words = [
            value if column in GROUPS else f"{column.removeprefix('model.')}={value}"
            for column, value in one.settings.items()
        ]
        config = one.records[0].config
        alone = " ".join(value_of(config, key) for key in ("model", "data"))
        one.label = " ".join(words) or alone
    seen: dict[str, int] = {}
    for one in made:
        seen[one.label] = seen.get(one.label, 0) + 1
        if seen[one.label] > 1:
            one.label = f"{one.label} ({one.records[0].folder.path.name})"
