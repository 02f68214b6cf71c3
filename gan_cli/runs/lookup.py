"""The run that a command's RUN names: a folder, part of a name, `latest`, or a folder of runs."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from pathlib import Path

from gan_cli.errors import CheckpointError
from gan_cli.exits import say
from gan_cli.formatting import counted
from gan_cli.runs.folder import DEFAULT_ROOT, RunFolder, below, is_run, started

HOLDS = "a run folder holds config.yaml, status.json and checkpoints/"
LATEST = "latest"
MOST = 8  # runs that a message lists


def find(place: Path | str, newest: bool = True) -> RunFolder:
    """The run at `place`; a line on stderr names it where `place` is not in the run itself.

    Args:
        place: a run folder, or a file in it; a folder of runs, also one below runs/; `latest`, the
            newest run below runs/; or text that is part of the path of one run below runs/.
        newest: whether a folder of several runs means its newest, and `latest` the last by name of
            those that started in one second. Else both are refused, as when a run is resumed.

    Raises:
        CheckpointError: no run is meant, or more than one; the message lists them.
    """
    try:
        return RunFolder(locate(place))
    except CheckpointError:
        runs, folder = _meant(str(place))
        if not runs:
            raise
    if len(runs) > 1 and not (folder and newest):
        shown = "".join(f"\n  {run}" for run in runs[-MOST:])
        more = f", the newest {MOST} of them" if len(runs) > MOST else ""
        raise CheckpointError(
            f"{place}: matches {counted(len(runs), 'run')}; name one{more}:{shown}"
        )
    say(f"{place}: {'the newest run in it is ' if folder and len(runs) > 1 else ''}{runs[-1]}")
    return RunFolder(runs[-1])


def _meant(place: str) -> tuple[list[Path], bool]:
    """The runs that `place` may mean, oldest first, and whether they are those of a folder."""
    if not place.strip():
        return [], False
    if place == LATEST:
        runs = below(DEFAULT_ROOT)
        return [run for run in runs if started(run) == started(runs[-1])], True
    for folder in (Path(place), DEFAULT_ROOT / place):
        if is_run(folder):
            return [folder], True
        if runs := below(folder):
            return runs, True
    return [run for run in below(DEFAULT_ROOT) if place in str(run)], False


def locate(place: Path | str) -> Path:
    """The run at `place`: its folder, its checkpoints folder, or a file inside either.

    Raises:
        CheckpointError: there is none; the message names the nearest ones.
    """
    if not str(place).strip():  # `Path("")` would be the current folder
        raise CheckpointError("a run folder must be named; what was given is empty")
    path = Path(place)
    if is_run(path):
        return path
    for parent in list(path.absolute().parents)[:2] if path.exists() else []:
        if is_run(parent):
            return parent if path.is_absolute() else Path(os.path.relpath(parent))
    missing = HOLDS if path.exists() else "no such folder"
    raise CheckpointError(f"{path} is not a run folder: {missing}{_near(path)}")


def _near(path: Path) -> str:
    around = next(parent for parent in (*path.parents, Path()) if parent.is_dir())
    nearby = [] if around == Path("/") else below(around, depth=2)
    runs = [*below(DEFAULT_ROOT), *nearby]
    names = {str(run): run for run in runs} | {run.name: run for run in runs}
    close = [*difflib.get_close_matches(str(path), names, 3, 0.7)]
    close += difflib.get_close_matches(path.name, names, 3, 0.7)
    found = list(dict.fromkeys(names[name] for name in close))[:3]
    if found:
        return f" (did you mean {' or '.join(map(str, found))}?)"
    return f"; {_available()}"


def _available() -> str:
    """The folders of the runs below runs/, and the newest run."""
    runs = below(DEFAULT_ROOT)
    if not runs:
        return f"{DEFAULT_ROOT}/ holds no run yet"
    folders = Counter(str(run.parent) for run in runs)
    shown = [f"{folder} ({counted(n, 'run')})" for folder, n in folders.most_common(MOST)]
    more = f" and {counted(len(folders) - MOST, 'folder')} more" if len(folders) > MOST else ""
    return f"there are {', '.join(shown)}{more}; the newest is {runs[-1]}"
