"""Kill a short run at each of its moments, resume it, and compare with one left alone.

    python -m benchmarks.faults.kills [--every N | --before TEXT ...] FOLDER SETTING ...

Torch is imported once, and every run is a fork of this process. A moment comes before whatever
changes what lies in the working directory (opening a file for writing, renaming, linking, removing,
making a folder), in the middle of a file's content and of a record appended to one that grows,
between the gradients and the weights of each update, and before each metric. The killed run is
resumed by the same command again. Prints each difference; exits with 1 if there are any.
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
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gan_cli import files, images
from gan_cli.callbacks import samples
from gan_cli.config.command_line import Command, prepare
from gan_cli.config.settings import composed
from gan_cli.data import folder_cache
from gan_cli.exits import guarded
from gan_cli.files import AppendedFile
from gan_cli.runs import checkpoint
from gan_cli.training import evaluator
from gan_cli.training.run import settings_of, train_settings
from gan_cli.training.trainer import Trainer

SETTINGS = [
    *("model=gan", "data=ring", "data.points=64", "network.width=8", "network.depth=1"),
    *("prior.dim=2", "batch_size=8", "runtime.threads=1", "runtime.device=cpu", "run.dir=run"),
    *("evaluation.samples=64", "evaluation.metrics=[points]"),
]
CLOCKS = ("time", "speed/", "memory/", "system/")  # no two runs agree on these
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
AGE = 3600.0  # seconds by which what a killed writer left is made older before the resume
CRASHED = 99


class Moment(NamedTuple):
    """A moment of a process: of the command itself ("main"), or of a job that it starts."""

    process: str
    number: int  # from 1


class Operations:
    """Counts the moments of a process and of its jobs, and kills the process of a deadly one.

    Args:
        folder: the moments of each process are written to `<folder>.<process>.moments`.
        deadly: None to kill at none.
    """

    def __init__(self, folder: Path, deadly: Moment | None) -> None:
        self._folder, self._deadly, self._jobs = folder, deadly, 0
        self._home = Path.cwd()
        self.process = ""
        self.begin("main")
        sys.addaudithook(self._heard)
        self._append, self._replacing = AppendedFile.append, files.replacing
        setattr(AppendedFile, "append", lambda file, record: self._halves(file, record))  # noqa: B010
        for module in (files, images, folder_cache):
            setattr(module, "replacing", self._half)  # noqa: B010
        step, evaluate = Trainer._step, evaluator.evaluate

        def update(trainer: Trainer, phase: Any, *more: Any) -> None:
            self._next("update", f"{trainer.step} {phase.name}")
            step(trainer, phase, *more)

        setattr(Trainer, "_step", update)  # noqa: B010
        setattr(evaluator, "evaluate", lambda *all: evaluate(*all, tell=self._measured))  # noqa: B010

    def begin(self, process: str) -> None:
        """Count anew, in a process of that name."""
        self.process, self._count = process, 0
        self._log = log_of(self._folder, process).open("w")

    def next_job(self) -> str:
        """A name for the next job of this process."""
        self._jobs += 1
        return f"job{self._jobs}"

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
        if where.is_relative_to(self._home) and not where.name.endswith(".lock"):
            self._next(event, str(where.relative_to(self._home)))

    def _halves(self, file: AppendedFile, record: bytes) -> None:
        middle = len(record) // 2
        for half, name in ((record[:middle], "append"), (record[middle:], "rest")):
            self._next(name, str(file.path))
            self._append(file, half)

    @contextmanager
    def _half(self, path: Path, *more: Any, **named: Any) -> Iterator[BinaryIO]:
        with self._replacing(path, *more, **named) as file:
            yield (content := io.BytesIO())
            data = content.getvalue()
            file.write(data[: len(data) // 2])
            file.flush()
            self._next("half", str(path))
            file.write(data[len(data) // 2 :])

    def _measured(self, metric: str) -> None:
        self._next("evaluate", metric)

    def _next(self, kind: str, name: str) -> None:
        self._log.write(f"{kind} {name}\n")
        self._log.flush()
        self._count += 1
        if self._deadly == (self.process, self._count):
            os.kill(os.getpid(), signal.SIGKILL)


def log_of(folder: Path, process: str) -> Path:
    """Where the moments of a process are written."""
    return folder.parent / f"{folder.name}.{process}.moments"


def moments_of(folder: Path) -> dict[Moment, str]:
    """All moments of the processes of a folder's last start."""
    found = {}
    for path in sorted(folder.parent.glob(f"{folder.name}.*.moments")):
        process = path.name.split(".")[-2]
        for number, name in enumerate(path.read_text().splitlines(), 1):
            found[Moment(process, number)] = name
    return found


def forked(
    work: Callable[[], int], folder: Path, deadly: Moment | None = None
) -> tuple[int, dict[Moment, str]]:
    """Do `work` in another process, in `folder`; its exit status and its moments."""
    global operations
    folder.mkdir(exist_ok=True)
    for path in folder.parent.glob(f"{folder.name}.*.moments"):
        path.unlink()
    child = os.fork()
    if child == 0:
        try:
            os.chdir(folder)
            os.environ["GAN_CLI_CACHE"] = str(folder / "cache")
            said = os.open(f"{folder}.said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(said, 1)
            os.dup2(said, 2)
            operations = Operations(folder, deadly)
            status = guarded(work)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(CRASHED)
        os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, moments_of(folder)


operations: Operations | None = None  # of this process


def snapshot(run: Path) -> dict[str, Any]:
    """All that a run leaves, by name, but for what clocks say."""
    found: dict[str, Any] = {}
    status = json.loads((run / "status.json").read_text())
    told = ("status", "step", "steps", "best", "error", "alarms")
    found["status"] = {key: status.get(key) for key in told}
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
    """Train in this very process, so that its forks find all modules loaded."""
    folder.mkdir()
    os.environ["GAN_CLI_CACHE"] = str(folder / "cache")
    here = Path.cwd()
    os.chdir(folder)
    with redirect_stderr(io.StringIO()):
        assert train() == 0
    os.chdir(here)


def straight_run(train: Callable[[], int], folder: Path) -> dict[Moment, str]:
    """A run that is left alone; its moments."""
    status, moments = forked(train, folder)
    assert status == 0, Path(f"{folder}.said").read_text()
    return moments


def chosen(moments: dict[Moment, str], options: argparse.Namespace) -> list[Moment]:
    """The moments at which a run is killed."""
    if not options.before:
        return list(moments)[options.every - 1 :: options.every]
    last = {text: one for text in options.before for one, name in moments.items() if text in name}
    assert len(last) == len(options.before), f"{last} of {options.before}"
    return list(last.values())


def killed(train: Callable[[], int], case: Path, deadly: Moment) -> None:
    """A run that is killed, in another process; what it was writing looks old afterwards."""
    status, _ = forked(train, case, deadly)
    if deadly.process == "main":
        assert status == -signal.SIGKILL, (status, Path(f"{case}.said").read_text())
    made_older = time.time() - AGE
    for path in case.rglob(".*.tmp"):
        os.utime(path, (made_older, made_older))


def outcome(
    train: Callable[[], int], case: Path, deadly: Moment, expected: dict[str, Any]
) -> list[str]:
    """What is wrong with a run that was killed at a moment, and resumed."""
    killed(train, case, deadly)
    status, _ = forked(train, case)
    if status:
        return [f"exit status {status}"]
    return list(differences(expected, snapshot(case / "run")))


def prepare_process() -> None:
    """Prepare this process for short runs in forks of it."""
    os.fsync = lambda _: None  # what a killed process has written stays written
    samples.LAST = 1
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    torch.set_num_threads(1)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="before each N-th operation")
    parser.add_argument("--before", action="append", help="at the last one that TEXT is part of")
    parser.add_argument("folder", type=Path)
    parser.add_argument("settings", nargs="*")
    options = parser.parse_args()
    prepare_process()
    home = options.folder.absolute()
    home.mkdir(parents=True, exist_ok=True)
    line: Command = prepare([*SETTINGS, *options.settings])
    settings = settings_of(composed(line), line)

    def train() -> int:
        return train_settings(settings, line)

    begun = time.monotonic()
    warm(train, home / "warm")
    moments = straight_run(train, home / "straight")
    expected = snapshot(home / "straight" / "run")
    deadly, wrong = chosen(moments, options), 0
    for one in deadly:
        case = home / f"{one.number:03d}"
        found = outcome(train, case, one, expected)
        for text in found:
            print(f"{one.number} at {moments[one]}: {text}", flush=True)
        wrong += bool(found)
        if not found:
            shutil.rmtree(case)
    seconds = time.monotonic() - begun
    print(f"{len(deadly)} of {len(moments)} kills, {wrong} wrong, {seconds:.0f} s")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
