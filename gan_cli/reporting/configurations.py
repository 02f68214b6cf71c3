"""Runs that differ by their seed alone are one configuration; which settings tell others apart."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_cli.config.reproduce import Origin, origin
from gan_cli.config.resume import SAFE, SAFE_GROUPS, SAFE_KEYS
from gan_cli.errors import CheckpointError
from gan_cli.formatting import leaves, show
from gan_cli.runs.folder import DEFAULT_ROOT, RunFolder, below, is_run, locate
from gan_cli.runs.record import Record, read

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


MAGIC = "*?["


class Gatherer:
    """Finds runs and reads them; a run whose files are as they were is not read again."""

    def __init__(self, places: Sequence[str]) -> None:
        self.places = places or [str(DEFAULT_ROOT)]
        self._read: dict[Path, tuple[object, Record]] = {}

    def __call__(self) -> list[Record]:
        """All runs at the places, in the order of their starts within each.

        Raises:
            CheckpointError: a place holds none.
        """
        folders = dict.fromkeys(path for place in self.places for path in runs_at(place))
        return [self._record(path) for path in folders]

    def _record(self, path: Path) -> Record:
        folder = RunFolder(path)
        stamp = _stamp(folder)
        if path not in self._read or self._read[path][0] != stamp:
            self._read[path] = stamp, read(folder)
        return self._read[path][1]


def _stamp(folder: RunFolder) -> object:
    stamps = []
    for path in (folder.config, folder.status, folder.metrics, folder.evaluations):
        try:
            found = path.stat()
            stamps.append((found.st_mtime_ns, found.st_size))
        except OSError:
            stamps.append(None)
    return (*stamps, folder.in_use())


def runs_at(place: str) -> list[Path]:
    """The runs that a run folder, a folder of runs or a glob means.

    Raises:
        CheckpointError: there are none; the message names the nearest.
    """
    path = Path(place).expanduser()
    if not path.exists() and any(sign in place for sign in MAGIC):
        found = [run for match in sorted(matches(path)) for run in _inside(Path(match))]
        if not found:
            raise CheckpointError(f"{place}: matches no run folder")
        return found
    return _inside(path) or [locate(path)]


def _inside(path: Path) -> list[Path]:
    return [path] if is_run(path) else below(path)


def matches(pattern: Path) -> Iterable[Path]:
    """What a glob finds."""
    root = Path(pattern.anchor)
    return root.glob(str(pattern.relative_to(root)))
