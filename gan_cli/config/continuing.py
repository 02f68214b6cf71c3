"""A command line that goes on with a run is composed on top of what that run was made of."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from gan_cli.config import groups
from gan_cli.config.overrides import Command, split
from gan_cli.errors import ConfigError

SHARED = ("seed", "batch_size")  # values of the root that groups repeat by interpolation


def resumed(line: Command) -> str | None:
    """The run that `line` names by `resume`, as text; None where it names none."""
    named = [value for key, value in map(split, line.overrides) if key == "resume"]
    if not named or named[-1] in (None, "", "null"):
        return None
    return str(Path(named[-1].strip("'\"")).expanduser())


def on_top_of(line: Command, text: str) -> Command:
    """`line`, for Hydra, with the options and values that its own settings are parts of.

    `model.beta=2` alone would be read as a setting of the default model, not of the run's.

    Args:
        line: with `resume`.
        text: of the run's config; where that is no config, `line` stays as it is.

    Raises:
        ConfigError: a setting is part of an option that is not to be found.
    """
    try:
        saved = yaml.safe_load(text)
    except yaml.YAMLError:
        saved = None  # told when the run is picked up
    if not isinstance(saved, Mapping):
        return line
    options = [word for word in line.argv if word.startswith("-")]
    typed = [word for word in line.argv if not word.startswith("-")]
    recorded = list(_recorded(line, saved))
    return replace(line, argv=[*options, *recorded, *typed])


def _recorded(line: Command, saved: Mapping[str, Any]) -> Iterator[str]:
    chosen = saved.get("choices")
    chosen = chosen if isinstance(chosen, Mapping) else {}
    keys = [key.partition("@")[0] for key in line.keys]
    inside = {key.partition(".")[0]: key for key in keys if "." in key}
    for group in groups.names(line.config_dirs):
        option = chosen.get(group)
        if group not in inside or group in keys or option is None:
            continue
        files = groups.options(group, line.config_dirs)
        if option not in files:
            raise ConfigError(
                f"{inside[group]}: the run's {group}={option} is not to be found; give the folder "
                "that has it with --config-dir"
            )
        yield f"{group}={option}"
        yield from _untold(files[option], group, saved.get(group))
    for key in SHARED:
        if key in saved:
            yield f"++{key}={saved[key]}"


def _untold(file: Path, group: str, node: Any) -> Iterator[str]:
    """What an option leaves open (`???`), as the run's `node` has it."""
    written = yaml.safe_load(file.read_text(encoding="utf-8"))
    for key, value in written.items() if isinstance(written, Mapping) else ():
        if value == "???" and isinstance(node, Mapping) and key in node:
            told = node[key]
            yield f"++{group}.{key}={_quoted(told) if isinstance(told, str) else json.dumps(told)}"


def _quoted(text: str) -> str:
    """For Hydra, to whom backslashes count only before a quote."""
    text = re.sub(r"(\\*)'", r"\1\1\\'", text)
    return "'" + re.sub(r"(\\+)$", r"\1\1", text) + "'"
