"""Checkpoints: one file with a run's whole state, written atomically.

A checkpoint is a dict of plain values and tensors, written by `torch.save`:

    format      int, the layout of this dict
    step        int, completed steps
    config      str, the run's resolved configuration as YAML
    data        dict, what the networks were built for: the fields of DataSpec
    model       the model's state_dict
    averages    averaged weights by entry, see ema.py
    optimizers  each player's optimizer's state_dict
    window      the running means of the curves' next point
    evaluation  the best value so far, and the last evaluation's values
    health      what the alarms have seen
    versions    those of gan-cli, torch and Python that wrote it

Files lie in `<run>/checkpoints/`: `last.pt`, `best.pt` where the run is evaluated, and
`step_00010000.pt` for those that are kept (links to the same bytes where the file system can).
Only `torch.load(weights_only=True)` reads them, so a file from somebody else can fail to load but
runs no code.
"""

from __future__ import annotations

import os
import platform
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import gan_cli
from gan_cli import files, foreign
from gan_cli.errors import CheckpointError
from gan_cli.runs import lookup
from gan_cli.runs.folder import LAST, RunFolder, is_run

FORMAT = 1
State = dict[str, Any]
MIGRATIONS: dict[int, Callable[[State], State]] = {}  # from a format to the next
MOST_STEPS = 10**9  # of a checkpoint; resuming counts the batches of each
REQUIRED = {"step": int, "config": str, "model": dict}
OPTIONAL = ("data", "averages", "optimizers", "window", "evaluation", "health")
PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.Size, torch.dtype)
BEST = "best.pt"
ZIP_START = b"PK\3\4"
STEP = re.compile(r"step_(\d{8,})\.pt")


class DamagedError(CheckpointError):
    """The file is not a whole checkpoint; an older one may be."""


def save(
    folder: Path, state: State, step: int, keep_step: bool, keep: int | None, best: bool = False
) -> Path:
    """Write `state` to `last.pt`; with `keep_step` also as this step's, and drop the older ones.

    The caller holds the run's lock; temporary files of killed writers are removed.

    Args:
        folder: the run's checkpoints folder; made where missing.
        state: see above; `format`, `step` and `versions` are filled in here.
        step: completed steps.
        keep_step: whether to keep this step's checkpoint.
        keep: how many kept checkpoints stay, this one included; None: all.
        best: whether it also replaces `best.pt`.

    Returns:
        The path of `last.pt`.

    Raises:
        CheckpointError: the disk is full or read-only, or the state holds values that cannot be
            loaded safely; the old `last.pt` is untouched.
    """
    versions = {"gan_cli": gan_cli.__version__, "torch": str(torch.__version__)}
    versions["python"] = platform.python_version()
    state = {"format": FORMAT, **state, "step": step, "versions": versions}
    _check(state, "checkpoint")
    last = folder / LAST
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.remove_leftovers(folder)
        with files.replacing(last, CheckpointError) as file:
            _write(state, file)
        if best:
            files.link(last, folder / BEST, CheckpointError)
        if keep_step:
            _keep(folder, step, keep)
    except OSError as cause:
        raise files.cannot_write(folder, cause, CheckpointError) from cause
    return last


def _keep(folder: Path, step: int, keep: int | None) -> None:
    """Keep `last.pt` under its step's name, and drop the older ones."""
    files.link(folder / LAST, of_step(folder, step), CheckpointError)
    # Later steps come from before the run was set back: not counted.
    old = [path for path in _kept(folder) if _step(path) <= step]
    for path in [] if keep is None else old[: max(0, len(old) - keep)]:
        path.unlink(missing_ok=True)


def restore_links(
    folder: Path, step: int, every: int | None, keep: int | None, best: int | None
) -> bool:
    """Restore the links of a run that was killed, or met a full disk, before it had made them.

    The caller holds the run's lock.

    Args:
        folder: the run's checkpoints folder.
        step: from which the run resumes.
        every: steps between kept checkpoints; None: none is kept.
        keep: how many kept checkpoints stay; None: all.
        best: the best step; None where none is yet.

    Returns:
        Whether the best step's checkpoint exists.

    Raises:
        CheckpointError: the disk is full or read-only.
    """
    try:
        whole = is_of(folder / LAST, step)
        if not whole and is_of(of_step(folder, step), step):
            files.link(of_step(folder, step), folder / LAST, CheckpointError)
            whole = True
        if step and every and step % every == 0 and whole:
            _keep(folder, step, keep)
        if best is None or is_of(folder / BEST, best):
            return True
        for path in (folder / LAST, of_step(folder, best)):
            if is_of(path, best):
                files.link(path, folder / BEST, CheckpointError)
                return True
    except OSError as cause:
        raise files.cannot_write(folder, cause, CheckpointError) from cause
    return False


def of_step(folder: Path, step: int) -> Path:
    """The path of a step's checkpoint."""
    return folder / f"step_{step:08d}.pt"


def is_of(path: Path, step: int) -> bool:
    """Whether `path` is a whole checkpoint of that step."""
    state = _whole(path)
    return state is not None and state["step"] == step


def _write(state: State, file: Any) -> None:
    try:
        torch.save(state, file)
    except RuntimeError as error:
        # Torch's zip writer hides the operating system's error behind its own.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _check(value: Any, place: str) -> None:
    """Check at saving that all can be loaded: weights_only admits tensors and plain values."""
    if isinstance(value, torch.Tensor) or type(value) in PLAIN:
        return
    if type(value) in (dict, OrderedDict):
        for key, item in value.items():
            _check(key, f"{place} (a key)")
            _check(item, f"{place}.{key}")
    elif type(value) in (list, tuple):
        for i, item in enumerate(value):
            _check(item, f"{place}.{i}")
    else:
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        raise CheckpointError(
            f"{place}: a {kind} cannot be loaded safely; keep it as a tensor or a plain value"
        )


def load(path: Path) -> State:
    """Read one checkpoint, on the CPU, in the current format.

    Raises:
        CheckpointError: it is missing, damaged, foreign, unsafe, or newer than this program; the
            message names another one beside it that is whole.
    """
    try:
        return _load(path)
    except DamagedError as error:
        for other in _newest_first(path.parent):
            if other.name != path.name and _whole(other):
                raise CheckpointError(f"{error}; {other.name} next to it is intact") from error
        raise


def _load(path: Path) -> State:
    try:
        with foreign.open_file(path) as file:
            with zipfile.ZipFile(file) as archive:
                parts = archive.infolist()
                packed = any(part.compress_type != zipfile.ZIP_STORED for part in parts)
                # Torch compresses nothing: the parts together are smaller than the file.
                if (
                    packed
                    or sum(part.file_size for part in parts) > os.fstat(file.fileno()).st_size
                ):
                    raise DamagedError(f"{path}: not a checkpoint of gan-train (it is compressed)")
                # Torch does not check the sums that it writes.
                if bad := archive.testzip():
                    raise DamagedError(f"{path}: damaged (wrong sum of {bad[:60]!r})")
            file.seek(0)
            if file.read(len(ZIP_START)) != ZIP_START:  # torch would take it for an older format
                raise DamagedError(f"{path}: damaged, or not a checkpoint of gan-train")
            file.seek(0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about files that are refused below
                state = torch.load(file, map_location="cpu", weights_only=True)
    except DamagedError:
        raise
    except FileNotFoundError as error:
        raise DamagedError(f"{path}: no such checkpoint") from error
    except foreign.ForeignError as error:
        raise DamagedError(str(error)) from error
    except OSError as error:
        raise DamagedError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # foreign bytes can fail in any way
        raise DamagedError(f"{path}: {_reason(error)}") from error
    return _current(state, path)


def _reason(error: Exception) -> str:
    if found := re.search(r"GLOBAL (\S+)", str(error)):
        allowed = "only tensors and plain values are allowed"
        return f"refused: it would run or build {found[1]}, and {allowed}"
    return "damaged, or not a checkpoint of gan-train"


def _current(state: Any, path: Path) -> State:
    number = state.get("format") if isinstance(state, dict) else None
    if type(number) is not int:
        raise DamagedError(f"{path}: not a checkpoint of gan-train")
    if number > FORMAT:
        raise CheckpointError(
            f"{path}: its format {number} is newer than this program's {FORMAT}; update gan-cli"
        )
    while number < FORMAT:
        if number not in MIGRATIONS:
            raise CheckpointError(f"{path}: its format {number} is no longer supported")
        state = MIGRATIONS[number](state)
        number += 1
    for key, kind in {**REQUIRED, **dict.fromkeys(OPTIONAL, dict)}.items():
        if (value := state.get(key)) is None and key in OPTIONAL:
            continue
        if not isinstance(value, kind):
            fault = "missing" if value is None else f"no {kind.__name__}"
            raise DamagedError(f"{path}: not a checkpoint of gan-train ({key} is {fault})")
    if isinstance(state["step"], bool) or not 0 <= state["step"] <= MOST_STEPS:
        raise DamagedError(f"{path}: not a checkpoint of gan-train (step is {state['step']})")
    return {**state, "format": FORMAT}


def _whole(path: Path) -> State | None:
    try:
        return _load(path)
    except CheckpointError:
        return None


def _kept(folder: Path) -> list[Path]:
    return sorted((p for p in folder.glob("step_*.pt") if STEP.fullmatch(p.name)), key=_step)


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step_"))


def _newest_first(folder: Path) -> list[Path]:
    last = [folder / LAST] if (folder / LAST).exists() else []
    return [*last, *reversed(_kept(folder))]


def named(path: Path | str) -> tuple[RunFolder, Path | None]:
    """The run at `path`; and `path` itself where it is a checkpoint, else None.

    Raises:
        CheckpointError: there is no such run, or the run has no such checkpoint.
    """
    path = Path(path)
    if path.suffix != ".pt":
        return lookup.find(path), None
    around = path.absolute().parent.parent
    if not path.exists() and is_run(around):
        raise CheckpointError(f"{path}: no such checkpoint; {_available(RunFolder(around))}")
    return RunFolder(lookup.locate(path)), path if path.exists() and not path.is_dir() else None


def find(run: RunFolder, which: str | int | Path = "last") -> Path:
    """The path of the checkpoint "last", "best" or of a step; a path is returned as it is.

    Raises:
        CheckpointError: there is none; the message lists those available.
    """
    if isinstance(which, Path):
        return which
    folder = run.checkpoints
    text = str(which)
    name = {"last": LAST, "best": BEST}.get(text)
    if name is None:
        name = f"step_{int(text):08d}.pt" if re.fullmatch(r"[0-9]{1,18}", text) else ""
    path = folder / name
    if name and path.is_file():
        return path
    raise CheckpointError(f'no checkpoint "{text}" in {folder}; {_available(run)}')


def _available(run: RunFolder) -> str:
    folder = run.checkpoints
    names = [p.stem for p in (folder / LAST, folder / BEST) if p.is_file()]
    names += [str(_step(p)) for p in _kept(folder)]
    return f"available: {', '.join(names)}" if names else "the run has saved none yet"


def newest_whole(run: RunFolder) -> tuple[State, str]:
    """The newest checkpoint that can be read, and a warning where it is not `last`, else "".

    Raises:
        CheckpointError: none can be read; or the newest is of a newer program.
    """
    if not (paths := _newest_first(run.checkpoints)):
        find(run)
    last = run.checkpoints / LAST
    problem = "" if last.exists() else f"{last}: no such checkpoint"
    for path in paths:
        try:
            state = _load(path)
        except DamagedError as error:
            problem = problem or str(error)
            continue
        return state, f"{problem}; resuming from {path.name}" if problem else ""
    raise CheckpointError(f"{problem}; no other checkpoint is intact")


def newest_up_to(folder: Path, step: int) -> State | None:
    """The newest whole checkpoint of a step up to `step`; None where there is none."""
    found = (_whole(path) for path in _newest_first(folder))
    return next((one for one in found if one is not None and one["step"] <= step), None)


def remove_after(folder: Path, step: int) -> None:
    """Delete the checkpoints of later steps, and those that cannot be read.

    Raises:
        CheckpointError: the folder cannot be written.
    """
    try:
        for path in (*_newest_first(folder), folder / BEST):
            state = _whole(path)
            if state is None or state["step"] > step:
                path.unlink(missing_ok=True)
    except OSError as cause:
        raise files.cannot_write(folder, cause, CheckpointError) from cause


def compact(state: Any) -> Any:
    """Copy tensors that are views of larger ones, which `torch.save` would write whole."""
    if isinstance(state, Tensor):
        return state.clone() if state.untyped_storage().nbytes() > state.nbytes else state
    if isinstance(state, Mapping):
        return {key: compact(value) for key, value in state.items()}
    if isinstance(state, list):
        return [compact(value) for value in state]
    return state
