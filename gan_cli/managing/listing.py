"""A run as it stands in the list: what can be asked of it, its tags, its size."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

from rich.table import Table
from rich.text import Text

from gan_cli import files, foreign
from gan_cli.errors import CheckpointError, ConfigError
from gan_cli.formatting import hint, leaves, number, show_duration
from gan_cli.managing.query import Value, parse
from gan_cli.reporting.metric import completed
from gan_cli.reporting.terminal import COLOURS
from gan_cli.runs.folder import FAILED, INTERRUPTED, KILLED, RunFolder
from gan_cli.runs.record import JUDGED, Gatherer, Record

TAGS = "tags.json"
UNITS = ("B", "kB", "MB", "GB", "TB")
OWN = ("name", "path", "state", "status", "step", "saved", "steps", "size", "age", "tag")
OWN += ("error", "best")


@dataclass
class ListedRun:
    """A run, and what is not in its record.

    Args:
        record: all that the run tells.
        now: for its age.
    """

    record: Record
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @cached_property
    def size(self) -> int:
        """Bytes of all files; linked checkpoints count once."""
        seen: dict[tuple[int, int], int] = {}
        for path in self.record.folder.path.rglob("*"):
            try:
                found = path.lstat()
            except OSError:
                continue  # removed just now
            seen[found.st_dev, found.st_ino] = found.st_size
        return sum(seen.values())

    @property
    def age(self) -> float:
        """Seconds since the run was started; NaN where that is not known."""
        try:
            started = datetime.fromisoformat(str(self.record.status.get("started")))
            return (self.now - started).total_seconds()
        except (ValueError, TypeError):
            return math.nan

    @cached_property
    def tags(self) -> list[str]:
        """The names that the user gave it; none where the file cannot be read, which is a fault."""
        try:
            return read_tags(self.record.folder)
        except CheckpointError as error:
            self.record.faults.append(str(error))
            return []

    def values(self, key: str) -> list[Value]:
        """What the run has under `key`; of tags all, of what it has not nothing."""
        record = self.record
        own: dict[str, list[Value]] = {
            "name": [record.folder.path.name],
            "path": [str(record.folder.path)],
            "state": [record.state],
            "status": [record.state],
            "step": [record.step],
            "saved": [] if record.saved is None else [record.saved],
            "tag": [*self.tags],
        }
        if key in own:
            return own[key]
        if key in ("size", "age"):
            return [getattr(self, key)]
        if key in ("steps", "error"):
            return _plain(record.status.get(key))
        if key == "best":
            best = record.status.get("best")
            return _plain(best.get("value") if isinstance(best, Mapping) else None)
        if key.startswith("metrics."):
            return self._figure(key.removeprefix("metrics."))
        if key in record.choices:
            return [record.choices[key]]
        node: object = record.config
        for part in key.split("."):
            node = node.get(part) if isinstance(node, Mapping) else None
        return _plain(node)

    def _figure(self, name: str) -> list[Value]:
        """The last value of a figure or curve; a first part of its name will do."""
        whole = completed(name, self.record.names(), f"metrics.{name}")
        curve = self.record.curve(whole) if whole else {}
        return [list(curve.values())[-1]] if curve else []

    def known(self) -> list[str]:
        """All that can be asked of the run."""
        names = [f"metrics.{name.removeprefix(JUDGED)}" for name in self.record.names()]
        settings = leaves(self.record.config, inner=True)
        keys = [key for key, value in settings if not (value and isinstance(value, Mapping))]
        return [*OWN, *self.record.choices, *names, *keys]


def _plain(value: object) -> list[Value]:
    if value is None or isinstance(value, Mapping | list):
        return []
    if isinstance(value, bool):
        return [str(value).lower()]
    return [value if isinstance(value, int | float) else str(value)]


def read_tags(folder: RunFolder) -> list[str]:
    """A run's tags.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = folder.path / TAGS
    try:
        found = foreign.read_json(path)
    except FileNotFoundError:
        return []
    except CheckpointError as cause:
        raise CheckpointError(f"{cause}; remove it to continue") from cause
    if not isinstance(found, list) or not all(isinstance(tag, str) for tag in found):
        raise CheckpointError(f"{path}: is not a list of tags; remove it to continue")
    return found


def write_tags(folder: RunFolder, tags: list[str]) -> None:
    """Keep a run's tags."""
    folder.refuse_links()
    files.write(folder.path / TAGS, json.dumps(sorted(set(tags))) + "\n")


def bytes_shown(size: float) -> str:
    """`1.2 MB`."""
    unit = 0
    while size >= 999.5 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {UNITS[unit]}" if unit == 0 or size >= 9.95 else f"{size:.1f} {UNITS[unit]}"


def require(key: str, found: Sequence[ListedRun], where: str) -> None:
    """Refuse a key of which no run knows anything.

    Raises:
        ConfigError: naming the nearest.
    """
    if any(one.values(key) for one in found):
        return
    known = dict.fromkeys(name for one in found for name in one.known())
    if key not in known:
        raise ConfigError(f"{where}: no run has {key}{hint(key, known)}")


def matching(root: str | None, where: str | None) -> list[ListedRun]:
    """The runs below `root` that match.

    Raises:
        ConfigError: the condition cannot be read, or names what no run has.
        CheckpointError: there are no runs.
    """
    condition = parse(where) if where else None
    found = [ListedRun(record) for record in Gatherer([root] if root else [])()]
    if condition is None:
        return found
    for key in condition.keys:
        require(key, found, "--where")
    return [one for one in found if condition.test(one)]


def ordered(found: Sequence[ListedRun], key: str) -> list[ListedRun]:
    """By the values of `key`, falling where it begins with a minus; runs without it last.

    Raises:
        ConfigError: no run has it.
    """
    name = key.removeprefix("-")
    require(name, found, "--sort")
    values = {id(one): next(iter(one.values(name)), None) for one in found}
    have = [one for one in found if not _missing(values[id(one)])]
    numeric = all(isinstance(values[id(one)], int | float) for one in have)

    def rank(one: ListedRun) -> tuple[float, str]:
        value = values[id(one)]
        return (float(value or 0), "") if numeric else (0.0, str(value))

    have.sort(key=rank, reverse=key.startswith("-"))
    return [*have, *(one for one in found if _missing(values[id(one)]))]


def _missing(value: Value) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


HEADS = ("run", "state", "step", "best", "size", "age", "tags")


def table(runs: Sequence[ListedRun], keys: Sequence[str]) -> Table:
    """The runs, one on a line, with a further column for each of `keys`."""
    extra = [key for key in keys if key not in (*HEADS, "tag", "path", "name", "status")]
    made = Table()
    for head in [*HEADS, *extra]:
        right = head in ("step", "best", "size", "age")
        made.add_column(head, justify="right" if right else "left", overflow="fold")
    for one in runs:
        made.add_row(*_cells(one), *(", ".join(map(_shown, one.values(key))) for key in extra))
    return made


def _shown(value: Value) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _cells(one: ListedRun) -> list[str | Text]:
    record = one.record
    best = record.status.get("best") or {}
    known = isinstance(best.get("figure"), str) and best.get("value") is not None
    best_value = f"{best['figure']} {number(best['value'])}" if known else ""
    steps = record.status.get("steps")
    return [
        str(record.folder.path),
        Text.assemble((record.state, COLOURS.get(record.state, "dim")), _saved(record)),
        f"{record.step:,}" + (f"/{steps:,}" if isinstance(steps, int) else ""),
        best_value,
        bytes_shown(one.size),
        show_duration(one.age),
        ", ".join(one.tags),
    ]


def _saved(record: Record) -> str:
    """Of a run that broke off: up to which step its work is saved."""
    if record.state not in (INTERRUPTED, KILLED, FAILED):
        return ""
    if record.saved is None:
        return ", nothing saved"
    return ", saved" if record.saved >= record.step else f", saved at {record.saved:,}"
