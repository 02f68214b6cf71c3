"""A command line that goes on with a run is composed on top of what that run was made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gan_cli import foreign
from gan_cli.config import groups
from gan_cli.config.overrides import Command, split
from gan_cli.errors import CheckpointError
from gan_cli.formatting import unquoted

SHARED = ("seed", "batch_size")  # values of the root that groups repeat by interpolation


def resumed(line: Command) -> str | None:
    """The run that `line` names by `resume`, as text; None where it names none."""
    named = [value for key, value in map(split, line.overrides) if key == "resume"]
    if not named or named[-1] in (None, "", "null"):
        return None
    return str(Path(unquoted(named[-1])).expanduser())


def on_top_of(line: Command, text: str) -> Command:
    """`line`, for Hydra, with the options that its own settings are parts of.

    `model.beta=2` alone would be read as a setting of the default model, not of the run's. Nothing
    of the run's text is composed but names of options that are there and whole numbers, for a run
    folder never decides which code is run. What cannot be used is left alone.

    Args:
        line: with `resume`.
        text: of the run's config.
    """
    try:
        saved = foreign.parse_yaml(text, "config")
    except CheckpointError:  # told when the run is picked up
        return line
    if not isinstance(saved, Mapping):
        return line
    options = [word for word in line.argv if word.startswith("-")]
    typed = [word for word in line.argv if not word.startswith("-")]
    recorded = [*_choices(line, saved.get("choices")), *_numbers(saved)]
    return replace(line, argv=[*options, *recorded, *typed])


def _choices(line: Command, chosen: Any) -> Iterator[str]:
    keys = [key.partition("@")[0] for key in line.keys]
    inside = {key.partition(".")[0] for key in keys if "." in key}
    for group in groups.defaults():
        option = chosen.get(group) if isinstance(chosen, Mapping) else None
        files = groups.options(group, line.config_dirs)
        if group in inside and group not in keys and isinstance(option, str) and option in files:
            yield f"{group}={option}"
            # Any will do: what is not typed is the run's in the end.
            yield from (f"++{group}.{key}=given" for key in _open(option, files))


def _open(option: str, files: Mapping[str, Path]) -> Iterator[str]:
    """The keys that an option, or one that it is made from, leaves open (`???`)."""
    left, seen = [option], set()
    while left:
        if (name := left.pop()) in seen:
            continue
        seen.add(name)
        try:  # by its real path, since a folder of one's own may hold links
            text = foreign.read_text(files[name].resolve())
            written = foreign.parse_yaml(text, files[name], finite=False)
        except (CheckpointError, OSError):  # told by Hydra, or all the same of use there
            continue
        if not isinstance(written, Mapping):
            continue
        yield from (str(key) for key, value in written.items() if value == "???")
        made_from = written.get("defaults")
        if isinstance(made_from, list):
            left += [other for other in made_from if isinstance(other, str) and other in files]


def _numbers(saved: Mapping[str, Any]) -> Iterator[str]:
    for key in SHARED:
        if type(value := saved.get(key)) is int:
            yield f"++{key}={value}"
