"""Configurations by their data sets: what was trained on other data is never compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gan_cli.formatting import leaves, show
from gan_cli.reporting.configurations import Configuration, value_of

UNKNOWN = "unknown data"  # of runs whose settings cannot be read
# Evaluations compare with the same samples whatever these are.
ASIDE = ("_target_", "workers", "flip", "dequantise", "skip_broken")
FOLDER = "folder"  # the data set that is named after its folder


def by_data(found: Sequence[Configuration]) -> dict[str, list[Configuration]]:
    """The configurations of each data set, by its name."""
    sets: dict[tuple[tuple[str, str], ...], list[Configuration]] = {}
    for one in found:
        sets.setdefault(_identity(one.config), []).append(one)
    names = {key: _name(some[0].config) for key, some in sets.items()}
    seen = Counter(names.values())
    made: dict[str, list[Configuration]] = {}
    for key, some in sets.items():
        twins = [dict(other) for other in sets if names[other] == names[key]]
        differ = [
            f"{setting}={value}"
            for setting, value in key
            if len({twin.get(setting) for twin in twins}) > 1
        ]
        more = f" ({', '.join(differ)})" if seen[names[key]] > 1 else ""
        made.setdefault(names[key] + more, []).extend(some)
    return made


def _identity(config: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    data = config.get("data")
    settings = leaves(data) if isinstance(data, dict) else ()
    known = [(key, show(value)) for key, value in settings if key not in ASIDE]
    return ("data", value_of(config, "data") if config else UNKNOWN), *sorted(known)


def _name(config: dict[str, Any]) -> str:
    if not config:
        return UNKNOWN
    name, root = value_of(config, "data"), value_of(config, "data.root")
    return Path(root).name if name == FOLDER and root else name
