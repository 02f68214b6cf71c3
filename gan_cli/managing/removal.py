"""Removal of runs, and of nothing else.

Reading is generous: a file in a run means the run, and damaged runs are shown. Deleting is strict:
a run is named by its own folder, is not reached through a link, and holds a config.yaml and a
status.json that are ours. A folder of runs means its runs only together with a condition.
"""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from gan_cli import foreign
from gan_cli.console import clean
from gan_cli.errors import CheckpointError, ConfigError, UserError
from gan_cli.exits import DONE, FAILED
from gan_cli.files import cannot_write
from gan_cli.formatting import counted, user_path
from gan_cli.managing.listing import TAGS, ListedRun, bytes_shown, listed, selected
from gan_cli.managing.query import parse
from gan_cli.runs import folder as folder_module
from gan_cli.runs.folder import RunFolder
from gan_cli.runs.lookup import locate
from gan_cli.runs.record import MAGIC, matches, read

log = logging.getLogger(__name__)
NEEDED = ("seed", "batch_size", "model", "data", "run")  # keys of every config.yaml
OURS = ("config.yaml", "status.json", "train.log", "metrics.jsonl", TAGS)
OURS = (*OURS, "checkpoints", "samples", "evaluations", "metrics.csv", "wandb")  # of callbacks
MOST_NAMES = 3  # of files that are not ours


def remove(options: argparse.Namespace) -> int:
    """Delete runs, after asking; the exit status.

    Raises:
        ConfigError: no run is named, a folder may be no run, or nobody can be asked.
        CheckpointError: one of them is in use; nothing is deleted.
    """
    if not options.runs and not options.where:
        raise ConfigError("remove: name runs, or say which with --where")
    condition = parse(options.where) if options.where else None
    root = folder_module.DEFAULT_ROOT  # which may be a link, since nobody typed it
    places = options.runs or [str(root.resolve() if root.is_symlink() else root)]
    paths = dict.fromkeys(path for place in places for path in runs_at(place, bool(condition)))
    found = selected(listed([read(RunFolder(path)) for path in paths]), condition)
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
    print(f"removed {counted(len(found), 'run')}")
    return DONE


def runs_at(place: str, searched: bool = False) -> list[Path]:
    """The real paths of the runs to delete at a run folder or a glob of run folders.

    Other matches of a glob are left alone, with a warning.

    Args:
        place: as it was typed.
        searched: whether a folder of runs means the runs below it, as there is a condition.

    Raises:
        ConfigError: a named folder may be no run, or may hold more than one.
        CheckpointError: there are none.
    """
    path = user_path(place)
    globbed = not path.exists() and any(sign in place for sign in MAGIC)
    start = _fixed(path) if globbed else path
    if link := _link(start):
        raise ConfigError(f"remove {place}: {link} is a link; name its target, {start.resolve()}")
    if globbed:
        _require_narrow(place, start)
        found = list(_below(start, sorted(map(Path, matches(path)))))
        if not found:
            raise CheckpointError(f"{place}: matches no run that can be removed")
        return found
    if folder_module.is_run(path):
        if fault := _doubt(path):
            raise ConfigError(f"remove {place}: {fault}")
        return [path.resolve()]
    if below := folder_module.below(path):
        if searched:
            _require_narrow(place, path)
            return list(_below(path, below))
        raise ConfigError(f"remove {place}: {_several(path, below)}, or use --where")
    run = locate(path)  # which raises, or finds the run that the path lies in
    raise ConfigError(
        f"remove {place}: is inside the run {run}; name the run's folder to remove it"
    )


def _below(start: Path, found: Iterable[Path]) -> Iterator[Path]:
    """The real paths of the runs among `found`, below `start`, that can be deleted."""
    for run in found:
        below = [] if folder_module.is_run(run) else folder_module.below(run)
        if not below and not folder_module.is_run(run):
            continue
        fault = _several(run, below) if below else _doubt(run)
        if run.resolve() != start.resolve() / run.relative_to(start):
            fault = "is reached through a link"
        if fault:
            log.warning(f"{run}: kept: {fault}")
        else:
            yield run.resolve()


def _several(path: Path, runs: Sequence[Path]) -> str:
    levels = len(runs[0].relative_to(path).parts)
    pattern = shlex.quote(str(path.joinpath(*["*"] * levels)))
    count = counted(len(runs), "run")
    return f"is not a run but a folder of {count}; name the runs, as {pattern} does"


def _link(path: Path) -> Path | None:
    """The first part of a typed path that is a link.

    What lies above the current folder or the home folder does not count, nor does what lies
    directly below /, where a system has links of its own (/tmp on macOS).
    """
    whole = Path.cwd() / path
    parts = [*reversed(whole.parents), whole]
    first = 2
    for base in (Path.cwd(), _home()):
        same = [i for i, part in enumerate(parts) if part.exists() and part.samefile(base)]
        if same:
            first = same[0] + 1
            break
    return next((part for part in [*parts[first:], whole] if part.is_symlink()), None)


def _home() -> Path:
    return Path(os.path.expanduser("~")).resolve()  # noqa: PTH111 - no error where there is none


def _require_narrow(place: str, start: Path) -> None:
    """Refuse to search for runs to delete in folders that hold everything of the user's.

    Raises:
        ConfigError: below `start` is the home folder, or the current folder is in a folder there.
    """
    real, here = start.resolve(), Path.cwd()
    if _home().is_relative_to(real):
        what = "is or holds the home folder"
    elif here != real and here.is_relative_to(real):
        what = "holds the current folder"
    else:
        return
    raise ConfigError(f"remove {place}: would search {real}, which {what}; name a folder in it")


def _fixed(pattern: Path) -> Path:
    """The part of a glob before the first sign that is one."""
    parts = []
    for part in pattern.parts:
        if any(sign in part for sign in MAGIC):
            break
        parts.append(part)
    return Path(*parts)


def _doubt(path: Path) -> str:
    """Why a folder may be no run, or more than one; "" where it certainly is a run."""
    run = RunFolder(path)
    elsewhere = "; to remove it, delete it yourself"
    try:
        if run.recorded() is None:
            return f"holds no status.json, so it may not be a run{elsewhere}"
        config = foreign.parse_yaml(run.read_config() or "", run.config)
    except CheckpointError as error:
        return f"{error}{elsewhere}"
    if not isinstance(config, dict) or not set(NEEDED) <= config.keys():
        return f"holds no config.yaml of a run, so it may not be a run{elsewhere}"
    if _home().is_relative_to(path.resolve()):
        return "is or holds the home folder"
    if Path.cwd().is_relative_to(path.resolve()):
        return "is or holds the current folder; change to another one first"
    return ""


def inner(path: Path) -> list[RunFolder]:
    """Runs, and other folders with a lock, inside a run: they would be deleted with it."""
    found = []
    for folder, _, files in os.walk(path):
        if Path(folder) != path and {".lock", "status.json"} & set(files):
            found.append(RunFolder(folder))
    return sorted(found, key=lambda run: run.path)


def _line(one: ListedRun) -> str:
    """A run to be deleted, with other things inside it."""
    record, path = one.record, one.record.folder.path
    text = f"{path}  {record.state} at step {record.step:,}  {bytes_shown(one.size)}"
    others = [str(run.path.relative_to(path)) for run in inner(path) if run.status.exists()]
    if others:
        text += f"\n  with the runs inside it: {', '.join(others)}"
    more = [p.name for p in sorted(path.iterdir()) if not _ours(p.name)]
    more = [name for name in more if not any(Path(run).parts[0] == name for run in others)]
    if more:
        rest = f" and {len(more) - MOST_NAMES} more" if len(more) > MOST_NAMES else ""
        text += f"\n  with files that belong to no run: {', '.join(more[:MOST_NAMES])}{rest}"
    return text


def _ours(name: str) -> bool:
    return name in OURS or name.startswith((".", "events.out.tfevents"))


def _agreed(many: int) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("remove: not interactive: add --yes")
    return input(f"remove {counted(many, 'run')} for good? [y/N] ").strip().lower() in ("y", "yes")


def _delete(run: RunFolder) -> None:
    """Delete a run's folder while its lock, and those of runs inside it, are held.

    Raises:
        CheckpointError: it is in use.
        UserError: the operating system refuses.
    """
    with ExitStack() as held:
        for one in (run, *inner(run.path)):
            held.enter_context(one.lock(writing=False))
        try:
            shutil.rmtree(run.path)
        except OSError as cause:
            raise cannot_write(run.path, cause, UserError) from cause
