"""The list of runs: their keys and values, tags and sizes; selected, sorted and as a table."""

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
from gan_cli.formatting import hint, leaves, number, show, show_duration
from gan_cli.managing.query import LONGEST, Condition, Value, parse, text_of
from gan_cli.reporting.metric import completed
from gan_cli.reporting.terminal import COLOURS
from gan_cli.runs.folder import FAILED, INTERRUPTED, KILLED, RunFolder
from gan_cli.runs.record import EVALUATED, Gatherer, Record

TAGS = "tags.json"
UNITS = ("B", "kB", "MB", "GB", "TB")
OWN = ("name", "path", "state", "status", "step", "saved", "steps", "size", "age", "tag")
OWN += ("error", "best", "alarm", "branched_from", "forced", "rollbacks")


@dataclass
class ListedRun:
    """A run with its size, age and tags.

    Args:
        record: its settings, status and curves.
        metrics: the names of the metrics and curves of all runs of the list.
        now: for its age.
    """

    record: Record
    metrics: Sequence[str]
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
        """The names that the user gave it; none where the file cannot be read (a fault)."""
        try:
            return read_tags(self.record.folder)
        except CheckpointError as error:
            self.record.faults.append(str(error))
            return []

    def values(self, key: str) -> list[Value]:
        """The values of `key`: all tags, one of another key, none where the run has no such key."""
        record = self.record
        own: dict[str, list[Value]] = {
            "name": [record.folder.path.name],
            "path": [str(record.folder.path)],
            "state": [record.state],
            "status": [record.state],
            "step": [record.step],
            "saved": [] if record.saved is None else [record.saved],
            "tag": [*self.tags],
            "alarm": [alarm.name for alarm in record.alarms],
        }
        if key in own:
            return own[key]
        if key in ("size", "age"):
            return [getattr(self, key)]
        if key in ("forced", "rollbacks"):
            found = record.status.get(key)
            return [len(found) if isinstance(found, list) else 0]
        if key in ("steps", "error", "branched_from"):
            return _plain(record.status.get(key))
        if key == "best":
            best = record.status.get("best")
            return _plain(best.get("value") if isinstance(best, Mapping) else None)
        if key.startswith("metrics."):
            return self._metric(key.removeprefix("metrics."))
        if key in record.choices:
            return [record.choices[key]]
        node: object = record.config
        for part in key.split("."):
            if not isinstance(node, Mapping) or part not in node:
                return []
            node = node[part]
        return [None] if node is None else _plain(node)

    def _metric(self, name: str) -> list[Value]:
        """The last value of a metric or curve, which may be named by its first part."""
        whole = completed(name, self.metrics, f"metrics.{name}")
        value = self.record.last(whole) if whole else None
        return [] if value is None else [value]

    def known(self) -> list[str]:
        """All keys of the run."""
        names = [f"metrics.{name.removeprefix(EVALUATED)}" for name in self.record.names()]
        settings = leaves(self.record.config, inner=True)
        keys = [key for key, value in settings if not (value and isinstance(value, Mapping))]
        return [*OWN, *self.record.choices, *names, *keys]


def _plain(value: object) -> list[Value]:
    if value is None or (value and isinstance(value, Mapping)):
        return []
    if isinstance(value, Mapping | list):
        return [show(value, LONGEST)]
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
    """Write a run's tags."""
    folder.refuse_links()
    files.write(folder.path / TAGS, json.dumps(sorted(set(tags))) + "\n")


def bytes_shown(size: float) -> str:
    """`1.2 MB`."""
    unit = 0
    while size >= 999.5 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {UNITS[unit]}" if unit == 0 or size >= 9.95 else f"{size:.1f} {UNITS[unit]}"


def require(key: str, found: Sequence[ListedRun], where: str) -> None:
    """Check that some run has `key`.

    Raises:
        ConfigError: none has; the message names the nearest.
    """
    if any(one.values(key) for one in found):
        return
    known = dict.fromkeys(name for one in found for name in one.known())
    if key not in known:
        raise ConfigError(f"{where}: no run has {key}{hint(key, known)}")


def matching(places: Sequence[str], where: str | None) -> list[ListedRun]:
    """The runs at some places (see `Gatherer`) that match a condition.

    Raises:
        ConfigError: the condition cannot be read, or names a key that no run has.
        CheckpointError: there are no runs.
    """
    condition = parse(where) if where else None
    return selected(listed(Gatherer(places)()), condition)


def listed(records: Sequence[Record]) -> list[ListedRun]:
    """The runs as a list, in which the name of a metric means the same in each."""
    names = list(dict.fromkeys(name for record in records for name in record.names()))
    return [ListedRun(record, names) for record in records]


def selected(found: Sequence[ListedRun], condition: Condition | None) -> list[ListedRun]:
    """The runs that match.

    Raises:
        ConfigError: the condition names a key that no run has.
    """
    for key in condition.keys if condition else ():
        require(key, found, "--where")
    return [one for one in found if condition is None or condition.test(one)]


def ordered(found: Sequence[ListedRun], key: str) -> list[ListedRun]:
    """Sorted by `key`, descending where it begins with a minus; runs without it last.

    Raises:
        ConfigError: no run has it.
    """
    name = key.removeprefix("-")
    require(name, found, "--sort")
    values = [(next(iter(one.values(name)), None), one) for one in found]
    have = [(v, one) for v, one in values if v is not None and v == v]  # not NaN
    numeric = all(isinstance(value, int | float) for value, _ in have)
    have.sort(
        key=lambda pair: (float(pair[0]) if numeric else 0.0, str(pair[0])),
        reverse=key.startswith("-"),
    )
    return [*(one for _, one in have), *(one for v, one in values if v is None or v != v)]


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
    return number(value) if isinstance(value, float) else text_of(value)


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
    """How much of an unfinished run is saved."""
    if record.state not in (INTERRUPTED, KILLED, FAILED):
        return ""
    if record.pruned:
        return ", pruned"
    if record.saved is None:
        return ", nothing saved"
    return ", saved" if record.saved >= record.step else f", saved at {record.saved:,}"
