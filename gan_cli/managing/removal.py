"""Removing runs: which folders are surely runs, what goes with them, and nothing else.

Reading is generous: a file in a run means the run, and damaged runs are shown. Deleting is strict:
a run is named by its own folder, is not reached through links below the place that was named, and
holds a config.yaml and a status.json that are ours.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from gan_cli import foreign
from gan_cli.atomic import cannot_write
from gan_cli.console import clean
from gan_cli.errors import CheckpointError, ConfigError, UserError
from gan_cli.exits import DONE, FAILED
from gan_cli.managing.listed import TAGS, Listed, bytes_shown, require
from gan_cli.managing.where import parse
from gan_cli.reporting.gathering import MAGIC, matches
from gan_cli.runs import finding
from gan_cli.runs.folder import RunFolder
from gan_cli.runs.record import read

log = logging.getLogger(__name__)
NEEDED = ("seed", "batch_size", "model", "data", "run")  # keys of every config.yaml
OURS = ("config.yaml", "status.json", "train.log", "metrics.jsonl", TAGS)
OURS = (*OURS, "checkpoints", "samples", "evaluations")
MOST_NAMES = 3  # of files that are not ours


def remove(options: argparse.Namespace) -> int:
    """Delete runs, after asking; those in use stay.

    Raises:
        ConfigError: nothing says which, what is named is surely no run, or nobody can be asked.
        CheckpointError: somebody is in one of them; nothing is deleted.
    """
    if not options.runs and not options.where:
        raise ConfigError("remove: name runs, or say which with --where")
    condition = parse(options.where) if options.where else None
    places = options.runs or [str(finding.DEFAULT_ROOT)]
    paths = dict.fromkeys(path for place in places for path in runs_at(place))
    found = [Listed(read(RunFolder(path))) for path in paths]
    if condition is not None:
        for key in condition.keys:
            require(key, found, "--where")
        found = [one for one in found if condition.test(one)]
    if not found:
        print("no run matches")
        return DONE
    for one in found:
        for run in (one.record.folder, *inner(one.record.folder.path)):
            if run.in_use():
                raise CheckpointError(f"remove {run.path}: is in use; stop the run first")
    for one in found:
        print(clean(_line(one)))
    if not options.yes and not _agreed(len(found)):
        print("nothing was removed")
        return FAILED
    for one in found:
        _delete(one.record.folder)
    print(f"removed {len(found)} runs")
    return DONE


def runs_at(place: str) -> list[Path]:
    """The real paths of the runs to delete that a run folder, a folder of runs or a glob means.

    What a glob or a folder of runs holds beside runs is left alone, and told.

    Raises:
        ConfigError: a run that is named cannot be deleted for certain.
        CheckpointError: there are none.
    """
    path = Path(place).expanduser()
    if not path.exists() and any(sign in place for sign in MAGIC):
        found = [run for match in sorted(matches(path)) for run in _below(_fixed(path), match)]
        if not found:
            raise CheckpointError(f"{place}: matches no run that can be removed")
        return found
    if finding.is_run(path):
        if path.is_symlink():
            raise ConfigError(f"remove {place}: is a link; name the folder that it means")
        if fault := _doubt(path):
            raise ConfigError(f"remove {place}: {fault}")
        return [path.resolve()]
    if finding.below(path):
        return list(_below(path, path))
    run = finding.locate(path)  # which raises, or finds the run that the path lies in
    raise ConfigError(f"remove {place}: lies in the run {run}; name the run's folder to remove it")


def _below(start: Path, match: Path) -> Iterator[Path]:
    """The runs at `match`, which lies below `start`, but for those that might not be meant."""
    through = match.resolve() != start.resolve() / match.relative_to(start)
    for run in [match] if finding.is_run(match) else finding.below(match):
        fault = "is reached through a link" if through else _doubt(run)
        if fault:
            log.warning(f"{run}: left alone: {fault}")
        else:
            yield run.resolve()


def _fixed(pattern: Path) -> Path:
    """The part of a glob before the first sign that is one."""
    parts = []
    for part in pattern.parts:
        if any(sign in part for sign in MAGIC):
            break
        parts.append(part)
    return Path(*parts)


def _doubt(path: Path) -> str:
    """Why a folder might be more than a run of ours; empty where it is one for certain."""
    run = RunFolder(path)
    elsewhere = "; if it is to go, delete it yourself"
    try:
        if run.recorded() is None:
            return f"holds no status.json, so it may be no run{elsewhere}"
        config = foreign.parse_yaml(run.read_config() or "", run.config)
    except CheckpointError as error:
        return f"{error}{elsewhere}"
    if not isinstance(config, dict) or not set(NEEDED) <= config.keys():
        return f"holds no config.yaml of a run, so it may be no run{elsewhere}"
    if Path.cwd().is_relative_to(path.resolve()):
        return "is or holds the folder that you are in; go elsewhere first"
    return ""


def inner(path: Path) -> list[RunFolder]:
    """Runs, and whatever else can be locked, inside a run: they would go with it."""
    found = []
    for folder, _, files in os.walk(path):
        if Path(folder) != path and {".lock", "status.json"} & set(files):
            found.append(RunFolder(folder))
    return sorted(found, key=lambda run: run.path)


def _line(one: Listed) -> str:
    """A run that is to be deleted, and all that goes with it."""
    record, path = one.record, one.record.folder.path
    told = f"{path}  {record.state} at step {record.step:,}  {bytes_shown(one.size)}"
    others = [str(run.path.relative_to(path)) for run in inner(path) if run.status.exists()]
    if others:
        told += f"\n  with the runs inside it: {', '.join(others)}"
    more = [p.name for p in sorted(path.iterdir()) if not _ours(p.name)]
    more = [name for name in more if not any(Path(run).parts[0] == name for run in others)]
    if more:
        rest = f" and {len(more) - MOST_NAMES} more" if len(more) > MOST_NAMES else ""
        told += f"\n  with what no run wrote: {', '.join(more[:MOST_NAMES])}{rest}"
    return told


def _ours(name: str) -> bool:
    return name in OURS or name.startswith((".", "events.out.tfevents"))


def _agreed(many: int) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("remove: there is nobody to ask here; add --yes")
    return input(f"remove {many} runs for good? [y/N] ").strip().lower() in ("y", "yes")


def _delete(run: RunFolder) -> None:
    """Delete a run's folder while nobody else can enter it, nor a run inside it.

    Raises:
        CheckpointError: somebody is in it.
        UserError: the operating system refuses.
    """
    with ExitStack() as held:
        for one in (run, *inner(run.path)):
            held.enter_context(one.lock(writing=False))
        try:
            shutil.rmtree(run.path)
        except OSError as cause:
            raise cannot_write(run.path, cause, UserError) from cause
