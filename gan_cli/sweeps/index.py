"""A sweep's folder: its index `sweep.json`, the logs of its jobs, its lock."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gan_cli import files, foreign
from gan_cli.errors import CheckpointError
from gan_cli.runs.folder import FAILED, FINISHED, INTERRUPTED, KILLED, RUNNING

WAITING = "waiting"
ENDED = (FINISHED, FAILED, INTERRUPTED, KILLED)
VERSION = 1


def now() -> str:
    """The present time, in the index's format."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass
class JobEntry:
    """A job in the index."""

    name: str
    overrides: list[str]  # as one types them
    run: str  # its folder, relative to the sweep's where it lies below
    state: str = WAITING
    exit_status: int | None = None  # minus the signal's number where one ended it
    started: str | None = None
    ended: str | None = None
    error: str | None = None

    def begin(self) -> None:
        """Mark it as started or resumed."""
        self.state, self.started = RUNNING, self.started or now()
        self.exit_status = self.ended = self.error = None

    def end(self, state: str, exit_status: int | None, error: str | None) -> None:
        """Mark it as ended."""
        self.state, self.exit_status, self.error, self.ended = state, exit_status, error, now()


def _entry(job: Any) -> JobEntry:
    """A job of the file.

    Raises:
        TypeError: a key is missing, or not ours.
        ValueError: a value is of the wrong type.
    """
    entry = JobEntry(**job)
    texts = (entry.name, entry.run, entry.state, *entry.overrides)
    texts += tuple(text for text in (entry.started, entry.ended, entry.error) if text is not None)
    if not isinstance(entry.overrides, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("a job has a value that is not text")
    if entry.state not in (WAITING, RUNNING, *ENDED) or type(entry.exit_status or 0) is not int:
        raise ValueError("a job has a state or exit status that does not exist")
    return entry


class Index:
    """The jobs of a sweep, by name; `write` saves them.

    Args:
        folder: the sweep's.

    Raises:
        CheckpointError: sweep.json is damaged, or of a later version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "sweep.json"
        self.logs = folder / "logs"
        self.about: dict[str, Any] = {"version": VERSION, "started": now()}
        self.entries: dict[str, JobEntry] = {}
        try:
            found = foreign.read_json(self.path)
            version = found["version"]
            if version <= VERSION:
                jobs = [_entry(job) for job in found.pop("jobs")]
                self.entries = {entry.name: entry for entry in jobs}
        except FileNotFoundError:
            return
        except (CheckpointError, TypeError, KeyError, ValueError) as cause:
            reason = str(cause).removeprefix(f"{self.path}: ")
            if isinstance(cause, KeyError | TypeError):
                reason = "is not the index of a sweep"
            raise CheckpointError(
                f"{self.path}: {reason}; remove it, and the sweep finds its runs by their folders"
            ) from cause
        if version > VERSION:
            raise CheckpointError(f"{self.path}: was written by a newer gan-train; use that")
        self.about = found

    def write(self, state: str, **more: Any) -> None:
        """Save the index; a reader finds either the old or the new one.

        Raises:
            UserError: the folder cannot be written.
        """
        self.about |= more
        self.about |= {"state": state, "updated": now()}
        self.about |= {"pid": os.getpid(), "hostname": socket.gethostname()}
        content: Mapping[str, Any] = {
            **self.about,
            "jobs": [asdict(entry) for entry in self.entries.values()],
        }
        with files.replacing(self.path, durable=state != RUNNING) as file:
            file.write((json.dumps(content, indent=1) + "\n").encode())

    def log(self, name: str) -> Path:
        """The log of a job's process."""
        return self.logs / f"{name}.log"

    def inside(self, run: Path) -> list[Path]:
        """A run folder and those of its parents that lie below the sweep's folder."""
        name = Path(self.called(run))
        return [] if name.is_absolute() else [self.folder / p for p in (name, *name.parents[:-1])]

    def called(self, run: Path) -> str:
        """The name of a run folder in an entry."""
        inside = run.absolute().is_relative_to(self.folder.absolute())
        return str(run.absolute().relative_to(self.folder.absolute()) if inside else run.absolute())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder, which is created, for this sweep; the system unlocks it even after kill -9.

    Raises:
        CheckpointError: another sweep holds it, or a link leads out of it.
        UserError: the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    files.refuse_links(folder / "logs", folder / ".lock")
    try:
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        held = FileLock(folder / ".lock").acquire(timeout=0.3, poll_interval=0.02)
    except Timeout as cause:
        raise CheckpointError(
            f"{folder}: another sweep uses it{_holder(folder)}; wait for it or stop it, or "
            "choose another folder with sweep.dir or sweep.name"
        ) from cause
    except OSError as cause:
        raise files.cannot_write(folder, cause) from cause
    with held:
        files.remove_leftovers(folder)
        yield


def _holder(folder: Path) -> str:
    try:
        about = Index(folder).about
    except CheckpointError:
        return ""
    known = {"pid", "hostname"} <= about.keys()
    return f" (process {about['pid']} on {about['hostname']})" if known else ""
