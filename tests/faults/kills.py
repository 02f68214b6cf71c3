"""Kill a short run before each of its file operations, resume it, and compare with one left alone.

    python tests/faults/kills.py [--every N | --before TEXT ...] FOLDER SETTING ...

Torch is imported once, and every run is a fork of this process. An operation is whatever changes
what lies in the working directory: opening a file for writing, renaming, linking, removing, making
a folder, and each half of a record appended to a file that grows. The killed run is resumed by the
same command again. Prints each difference; exits with 1 if there are any.
"""

from __future__ import annotations

import argparse
import difflib
import io
import json
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gan_cli.callbacks import samples
from gan_cli.config.command_line import Command, prepare
from gan_cli.config.settings import composed
from gan_cli.exits import guarded
from gan_cli.files import AppendedFile
from gan_cli.runs import checkpoint
from gan_cli.training.run import settings_of, train_settings

SETTINGS = [
    *("model=gan", "data=ring", "data.points=64", "network.width=8", "network.depth=1"),
    *("prior.dim=2", "batch_size=8", "runtime.threads=1", "runtime.device=cpu", "run.dir=run"),
    *("evaluation.samples=64", "evaluation.metrics=[points]"),
]
CLOCKS = ("time", "speed/", "memory/", "system/")  # no two runs agree on these
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
AGE = 3600.0  # seconds by which what a killed writer left is made older before the resume
CRASHED = 99


class Operations:
    """Counts a process's file operations, and kills it before the one numbered `deadly`."""

    def __init__(self, log: Path, deadly: int | None) -> None:
        self._log = log.open("w")
        self._deadly, self._count = deadly, 0
        self._home = Path.cwd()
        sys.addaudithook(self._heard)
        self._append = AppendedFile.append
        setattr(AppendedFile, "append", lambda file, record: self._halves(file, record))  # noqa: B010

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if not isinstance(path, str) or not flags & WRITING:
                return
        elif event in ("os.rename", "os.link", "os.symlink"):
            path = arguments[1]
        elif event in ("os.remove", "os.mkdir", "os.rmdir", "os.truncate"):
            path = arguments[0]
        else:
            return
        where = self._home / os.fsdecode(path)
        if where.is_relative_to(self._home) and where.suffix != ".lock" and where.name != ".lock":
            self._next(event, str(where.relative_to(self._home)))

    def _halves(self, file: AppendedFile, record: bytes) -> None:
        middle = len(record) // 2
        for half, name in ((record[:middle], "append"), (record[middle:], "rest")):
            self._next(name, str(file.path))
            self._append(file, half)

    def _next(self, kind: str, name: str) -> None:
        self._log.write(f"{kind} {name}\n")
        self._log.flush()
        self._count += 1
        if self._count == self._deadly:
            os.kill(os.getpid(), signal.SIGKILL)


def forked(
    work: Callable[[], int], folder: Path, deadly: int | None = None
) -> tuple[int, list[str]]:
    """Do `work` in another process, in `folder`; its exit status and its file operations."""
    folder.mkdir(exist_ok=True)
    log = folder.parent / f"{folder.name}.operations"
    child = os.fork()
    if child == 0:
        try:
            os.chdir(folder)
            said = os.open(f"{folder}.said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(said, 1)
            os.dup2(said, 2)
            Operations(log, deadly)
            status = guarded(work)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(CRASHED)
        os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, log.read_text().splitlines()


def snapshot(run: Path) -> dict[str, Any]:
    """All that a run leaves, by name, but for what clocks say."""
    found: dict[str, Any] = {}
    status = json.loads((run / "status.json").read_text())
    found["status"] = {key: status[key] for key in ("status", "step", "steps", "best", "error")}
    found["config"] = (run / "config.yaml").read_text()
    found["curves"] = [
        without_clocks(json.loads(line)) for line in (run / "metrics.jsonl").open("rb")
    ]
    for path in sorted((run / "checkpoints").glob("*.pt")):
        found[f"checkpoints/{path.name}"] = plain(checkpoint.load(path))
    for path in sorted((run / "samples").glob("[!.]*")):
        with Image.open(path) as picture:
            frames = getattr(picture, "n_frames", 1)
        found[f"samples/{path.name}"] = (path.read_bytes(), frames)
    for path in sorted((run / "evaluations").glob("[!.]*")):
        content = path.read_bytes()
        if path.suffix == ".json":
            content = {k: v for k, v in json.loads(content).items() if k not in ("time", "seconds")}
        found[f"evaluations/{path.name}"] = content
    found["tmp"] = sorted(str(path.relative_to(run)) for path in run.rglob(".*.tmp"))
    return found | tensorboard(run)


def without_clocks(point: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in point.items() if not name.startswith(CLOCKS)}


def plain(value: Any) -> Any:
    """Tensors as bytes, so that `==` compares all of it."""
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), tuple(value.shape), value.contiguous().numpy().tobytes())
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def tensorboard(run: Path) -> dict[str, Any]:
    """What TensorBoard shows of it."""
    events = EventAccumulator(str(run), {"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    found: dict[str, Any] = {}
    for tag in tags["scalars"]:
        if not tag.startswith(CLOCKS):
            found[f"curve {tag}"] = [(point.step, point.value) for point in events.Scalars(tag)]
    for tag in tags["images"]:
        found[f"image {tag}"] = [
            (image.step, image.encoded_image_string) for image in events.Images(tag)
        ]
    for tag in tags["tensors"]:
        steps = sorted({tensor.step for tensor in events.Tensors(tag)})
        if not tag.startswith(("_hparams_", "config", *CLOCKS)):
            found[f"tensor {tag}"] = steps
    return found


def differences(straight: dict[str, Any], other: dict[str, Any]) -> Iterator[str]:
    """What is not the same in two snapshots."""
    for name in dict.fromkeys((*straight, *other)):
        if name not in other:
            yield f"{name} is missing"
        elif name not in straight:
            yield f"{name} should not be there"
        elif straight[name] != other[name]:
            yield f"{name}: {short(straight[name], other[name])}"


def short(old: Any, new: Any) -> str:
    """Where two values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        return "; ".join(f"{key} {short(old.get(key), new.get(key))}" for key in keys)
    if isinstance(old, str) and isinstance(new, str):
        changed = difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm="")
        return "; ".join(line for line in changed if line[:3] not in ("---", "+++"))
    if isinstance(old, list) and isinstance(new, list):
        gone, more = ([one for one in a if one not in b] for a, b in ((old, new), (new, old)))
        return f"{len(old)} -> {len(new)}, without {str(gone)[:100]}, with {str(more)[:100]}"
    return f"{str(old)[:100]} -> {str(new)[:100]}"


def warm(train: Callable[[], int], folder: Path) -> None:
    """Train in this very process, so that its forks find all modules loaded and caches full."""
    folder.mkdir()
    here = Path.cwd()
    os.chdir(folder)
    with redirect_stderr(io.StringIO()):
        assert train() == 0
    os.chdir(here)


def straight_run(train: Callable[[], int], folder: Path) -> list[str]:
    """A run that is left alone; its operations."""
    status, operations = forked(train, folder)
    assert status == 0, Path(f"{folder}.said").read_text()
    return operations


def chosen(operations: list[str], options: argparse.Namespace) -> list[int]:
    """The numbers, from 1, of the operations that a run is killed before."""
    if not options.before:
        return list(range(options.every, len(operations) + 1, options.every))
    last = {
        text: i for text in options.before for i, name in enumerate(operations, 1) if text in name
    }
    assert len(last) == len(options.before), f"{last} of {options.before}"
    return list(last.values())


def outcome(
    train: Callable[[], int], case: Path, number: int, expected: dict[str, Any]
) -> list[str]:
    """What is wrong with a run that was killed before an operation, and resumed."""
    killed, _ = forked(train, case, number)
    assert killed == -signal.SIGKILL, (killed, Path(f"{case}.said").read_text())
    made_older = time.time() - AGE
    for path in case.rglob(".*.tmp"):
        os.utime(path, (made_older, made_older))
    status, _ = forked(train, case)
    if status:
        return [f"exit status {status}"]
    return list(differences(expected, snapshot(case / "run")))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="before each N-th operation")
    parser.add_argument(
        "--before", action="append", help="before the last one that TEXT is part of"
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("settings", nargs="*")
    options = parser.parse_args()
    os.fsync = lambda _: None  # what a killed process has written stays written
    samples.LAST = 1
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    home = options.folder.absolute()
    home.mkdir(parents=True, exist_ok=True)
    os.environ["GAN_CLI_CACHE"] = str(home / "cache")
    line: Command = prepare([*SETTINGS, *options.settings])
    settings = settings_of(composed(line), line)

    def train() -> int:
        return train_settings(settings, line)

    begun = time.monotonic()
    warm(train, home / "warm")
    operations = straight_run(train, home / "straight")
    expected = snapshot(home / "straight" / "run")
    numbers, wrong = chosen(operations, options), 0
    for number in numbers:
        case = home / f"{number:03d}"
        found = outcome(train, case, number, expected)
        for text in found:
            print(f"{number} before {operations[number - 1]}: {text}", flush=True)
        wrong += bool(found)
        if not found:
            shutil.rmtree(case)
    seconds = time.monotonic() - begun
    print(f"{len(numbers)} of {len(operations)} kills, {wrong} wrong, {seconds:.0f} s")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
