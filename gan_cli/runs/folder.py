"""The run folder: making, its status and its lock."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gan_cli import files as files_module
from gan_cli import foreign
from gan_cli.errors import CheckpointError, ConfigError, UserError
from gan_cli.formatting import assignment, shell_command, show, user_path

DEFAULT_ROOT = Path("runs")
REAL = "real"  # the folder in it of real samples of each data set, for TensorBoard
LAST = "last.pt"  # the newest checkpoint of a run


def is_run(path: Path) -> bool:
    """Whether a run was started in the folder `path`."""
    return (path / "status.json").is_file() or any((path / "checkpoints").glob("*.pt"))


def branches(resume: object) -> bool:
    """Whether `resume` names another checkpoint than the last, so that a new run begins there."""
    if not isinstance(resume, str) or not resume.endswith(".pt"):
        return False
    return Path(resume).name != LAST and not Path(resume).is_dir()


def below(root: Path, depth: int = 3) -> list[Path]:
    """The run folders at most `depth` levels below `root`, oldest first."""
    found: list[tuple[str, str, Path]] = []
    level = [root]
    for _ in range(depth):
        level = [child for folder in level for child in _folders(folder)]
        found += [(started(path), path.name, path) for path in level if is_run(path)]
        level = [path for path in level if not is_run(path)]
    return [path for *_, path in sorted(found)]


def _folders(folder: Path) -> list[Path]:
    try:
        return [
            path
            for path in folder.iterdir()
            if path.is_dir() and not path.is_symlink() and not path.name.startswith(".")
        ]
    except OSError:
        return []  # not a folder, or not readable: no runs of the user's


def started(path: Path) -> str:
    """When a run was started, as text that sorts."""
    try:
        return str(foreign.read_json(path / "status.json")["started"])
    except (OSError, CheckpointError, KeyError, TypeError):
        changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return changed.isoformat(timespec="seconds")


JOBS = {  # ids of a scheduler's job in the environment, and of its place in an array of jobs
    "SLURM_JOB_ID": "",  # of its own in an array
    "PBS_JOBID": "",
    "LSB_JOBID": "LSB_JOBINDEX",
    "JOB_ID": "SGE_TASK_ID",
}
RUNNING, FINISHED, INTERRUPTED, FAILED = "running", "finished", "interrupted", "failed"
KILLED = "killed"  # read where the file has "running" and the lock is free
UNKNOWN = "unknown"  # read where there is no status.json
STATES = (RUNNING, FINISHED, INTERRUPTED, FAILED, KILLED, UNKNOWN)
STATUS: dict[str, tuple[type, ...]] = {  # types in status.json of the keys that are read
    "status": (str,),
    "step": (int, type(None)),
    "steps": (int, type(None)),
    "best": (dict, type(None)),
    "started": (str, type(None)),
    "error": (str, type(None)),
    "saved": (int, type(None)),
    "together": (list, type(None)),
    "branched_from": (str, type(None)),
    "rollbacks": (list, type(None)),
    "forced": (list, type(None)),
    "alarms": (list, type(None)),
}
BEST: dict[str, tuple[type, ...]] = {
    "figure": (str, type(None)),
    "better": (str, type(None)),
    "value": (int, float, type(None)),
    "step": (int, type(None)),
}


class RunFolder:
    """Paths, status and lock of one run; see also `create`, and `find` in lookup.py."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.status = self.path / "status.json"
        self.log = self.path / "train.log"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"
        self.evaluations = self.path / "evaluations"
        self._lock = self.path / ".lock"

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    def write_config(self, text: str) -> None:
        """Write the resolved configuration.

        Raises:
            UserError: the folder cannot be written.
        """
        files_module.write(self.config, text)

    def read_config(self) -> str | None:
        """The text of config.yaml, or None where it is missing."""
        try:
            return foreign.read_text(self.config)
        except FileNotFoundError:
            return None

    def write_status(self, status: str, step: int, **more: Any) -> None:
        """Write status.json: `status` at `step`, and `steps`, `error`, `best` ... in `more`.

        Other keys keep their values, except for the error.

        Raises:
            UserError: the folder cannot be written.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        before = {"steps": None, "best": None, "started": now, **(self.recorded() or {})}
        record = {
            "status": status,
            "step": step,
            **{key: value for key, value in before.items() if key not in ("status", "step")},
            "updated": now,
            "pid": os.getpid(),
            "hostname": socket.gethostname(),
            "error": None,
            **more,
        }
        files_module.write(self.status, json.dumps(record, indent=2) + "\n")

    def read_status(self) -> dict[str, Any]:
        """The run's status: at least `status` and `step`.

        It is "killed" where the file has "running" and the lock is free, "unknown" where there is
        no such file.

        Raises:
            CheckpointError: status.json is damaged.
        """
        record = self.recorded()
        if record is None:
            return {"status": UNKNOWN, "step": None}
        if record["status"] == RUNNING and not self.in_use():
            record["status"] = KILLED
        return record

    def recorded(self) -> dict[str, Any] | None:
        """The content of status.json, be the run alive or not; None where there is no such file.

        Raises:
            CheckpointError: status.json is damaged.
        """
        try:
            record = foreign.read_json(self.status)
        except FileNotFoundError:
            return None
        except CheckpointError as cause:
            raise CheckpointError(f"{cause}; remove it to continue without") from cause
        if not isinstance(record, dict) or not {"status", "step"} <= record.keys():
            raise CheckpointError(
                f"{self.status}: is not a run's status; remove it to continue without"
            )
        if fault := _wrong(record, STATUS) or _wrong(record.get("best") or {}, BEST, "best."):
            raise CheckpointError(f"{self.status}: {fault}; remove it to continue without")
        return record

    def in_use(self) -> bool:
        """Whether a process holds the lock; also true where the lock cannot be read."""
        if os.name != "posix":
            from filelock import FileLock, Timeout

            try:
                with FileLock(self._lock, timeout=0):
                    return False
            except (Timeout, OSError):
                return self._lock.exists()
        import fcntl

        try:  # the lock that filelock takes, tried on a file that may be of a read-only disk
            with foreign.open_file(self._lock) as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except CheckpointError:
            return True
        return False

    def check_lock(self) -> None:
        """Check that the lock can be read, before `in_use` is waited for.

        Raises:
            CheckpointError: it cannot, so that nobody knows whether a process holds it.
        """
        with suppress(FileNotFoundError), foreign.open_file(self._lock):
            pass

    def refuse_links(self) -> None:
        """Check that writing into the folder does not lead out of it.

        Raises:
            CheckpointError: a file or folder of the run is a link.
        """
        files = (self.config, self.status, self.log, self.metrics, self._lock)
        files_module.refuse_links(*files, self.checkpoints, self.samples, self.evaluations)

    @contextmanager
    def lock(self, writing: bool = True) -> Iterator[None]:
        """Hold the folder's lock; the operating system frees it even after kill -9.

        Temporary files of killed writers are removed.

        Args:
            writing: whether more than deleting follows, so that no link may be there.

        Raises:
            CheckpointError: another process holds it, or writing would lead out of the folder.
            UserError: the folder cannot be written.
        """
        from filelock import FileLock, Timeout

        if writing or self._lock.is_symlink():
            self.refuse_links()
        try:
            # Not 0: `in_use` holds the lock for some microseconds.
            held = FileLock(self._lock).acquire(timeout=0.3, poll_interval=0.02)
        except Timeout as cause:
            raise CheckpointError(
                f"{self.path}: is in use{self._by_whom()}; wait or stop it"
            ) from (cause)
        except OSError as cause:
            raise files_module.cannot_write(self._lock, cause) from cause
        with held:
            if writing:
                self._remove_leftovers()
            yield

    def _remove_leftovers(self) -> None:
        """Delete the temporary files of killed writers."""
        try:
            for folder in (self.path, self.checkpoints):
                files_module.remove_leftovers(folder)
            # gan-sample and gan-eval write here without the lock.
            for folder in (self.samples, self.evaluations):
                files_module.remove_leftovers(folder, older_than=files_module.WRITING)
        except OSError as cause:
            raise files_module.cannot_write(self.path, cause) from cause

    def _by_whom(self) -> str:
        try:
            record = self.recorded() or {}
        except CheckpointError:
            record = {}
        pid, host = record.get("pid"), record.get("hostname")
        # The status may be that of an earlier start.
        if record.get("status") != RUNNING or type(pid) is not int or not host:
            return ""
        if host == socket.gethostname() and not _lives(pid):
            return ""
        return f" by process {pid} on {host}"


def _lives(pid: int) -> bool:
    """Whether there may be such a process on this machine."""
    if os.name != "posix":
        return True  # where looking would end it
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def forced_changes(status: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The resumes of a run with other settings: `step`, and the settings `before` it."""
    kinds = {"step": int, "before": list}
    return _entries(status.get("forced"), kinds)


def rollbacks(status: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rollbacks of a run: `to` a step, with learning rates times `factor`."""
    return _entries(status.get("rollbacks"), {"to": int, "factor": float})


def _entries(found: object, kinds: Mapping[str, type]) -> list[dict[str, Any]]:
    """Those entries of a list in status.json that have the right kinds."""
    entries = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return [one for one in entries if all(type(one.get(k)) is t for k, t in kinds.items())]


def _wrong(record: Mapping[str, Any], kinds: Mapping[str, tuple[type, ...]], at: str = "") -> str:
    """The first fault in a status; "" where there is none."""
    for key, kind in kinds.items():
        value = record.get(key)
        if type(value) not in kind and key in record:
            names = " or ".join("null" if one is type(None) else one.__name__ for one in kind)
            return f"{at}{key} = {show(value)}: must be {names}"
        if key in ("step", "steps", "saved") and isinstance(value, int) and value < 0:
            return f"{at}{key} = {value}: must not be negative"
    if record.get("status", RUNNING) not in STATES:
        return f"status = {show(record['status'])}: must be one of {', '.join(STATES)}"
    return ""


def of_job(root: Path | str, model: str, data: str, environment: Mapping[str, str]) -> Path:
    """The folder of the job that a cluster's scheduler runs: `<root>/<model>-<data>/job-<id>`.

    Slurm, PBS, LSF and Grid Engine keep the id when they queue a job again.

    Raises:
        ConfigError: no scheduler runs this process.
    """
    for job, task in JOBS.items():
        if number := environment.get(job):
            place = environment.get(task, "")
            array = f"-{place}" if place not in ("", "0", "undefined") else ""
            return Path(root) / f"{plain(model)}-{plain(data)}" / plain(f"job-{number}{array}")
    raise ConfigError(
        f"run.requeue = true: no scheduler runs this process ({', '.join(JOBS)} are not set); "
        "set run.dir instead, which also resumes"
    )


def create(
    config: str,
    *,
    model: str,
    data: str,
    root: Path | str = DEFAULT_ROOT,
    folder: Path | str | None = None,
    name: str | None = None,
    now: datetime | None = None,
) -> RunFolder:
    """Make a new run folder and put the `config` text into it.

    It is `folder` (run.dir) where given, else `<root>/<name>` (run.name) where given, else
    `<root>/<model>-<data>/<yyyymmdd-hhmmss>-<8 hex of the config>`, in local time, with -2, -3
    ... behind it where runs start in the same second.

    Raises:
        ConfigError: `folder` or `name` holds a run or another program's files already.
        UserError: the folder cannot be made.
    """
    if folder is not None:
        run = RunFolder(folder)
        key = f"run.dir = {folder}"
    elif name is not None:
        if not name.strip() or Path(name).is_absolute() or ".." in Path(name).parts:
            raise ConfigError(f"run.name = {name!r}: a name below {root} is required; see run.dir")
        run = RunFolder(Path(root) / name)
        key = f"run.name = {name}"
    else:
        when = (now or datetime.now()).strftime("%Y%m%d-%H%M%S")
        short = hashlib.sha256(config.encode()).hexdigest()[:8]
        run = _mkdir(Path(root) / f"{plain(model)}-{plain(data)}", f"{when}-{short}")
        try:
            _fill(run, config)
        except UserError:
            shutil.rmtree(run.path, ignore_errors=True)  # ours, and nothing in it
            raise
        return run
    try:
        run.path.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise files_module.cannot_write(run.path, cause) from cause
    with run.lock():  # two may come at once
        _refuse_taken(run, key)
        _fill(run, config)
    return run


def _mkdir(parent: Path, name: str) -> RunFolder:
    path, number = parent / name, 1
    try:
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                path.mkdir()
            except FileExistsError:
                number += 1
                path = parent / f"{name}-{number}"
            else:
                return RunFolder(path)
    except OSError as cause:
        raise files_module.cannot_write(path, cause) from cause


def _refuse_taken(run: RunFolder, key: str) -> None:
    if is_run(run.path):
        raise ConfigError(
            f"{key}: holds a run already; {shell_command(assignment('resume', run.path))} resumes "
            "it, another name starts a new one"
        )
    if runs := below(run.path):
        raise ConfigError(f"{key}: holds other runs, such as {runs[-1]}; choose another name")
    for path in (run.config, run.metrics, run.checkpoints, run.samples):
        if path.exists():
            raise ConfigError(f"{key}: holds {path.name} but no run; choose another folder")


def _fill(run: RunFolder, config: str) -> None:
    # The status makes the folder a run, so it comes first: a run killed here is seen as one.
    run.write_status(RUNNING, 0)
    run.write_config(config)
    try:
        run.checkpoints.mkdir()
        run.samples.mkdir()
    except OSError as cause:
        raise files_module.cannot_write(run.path, cause) from cause


def plain(name: str) -> str:
    """`name` as part of a folder's name: no separators, not too long."""
    return re.sub(r"[^\w.=+-]+", "-", name).strip("-.")[:60] or "unnamed"


def made_folder(out: str | None, own: Path) -> Path:
    """The folder of --out, or one of a run's own; made where missing.

    Raises:
        UserError: it cannot be made, or the run's own is a link.
    """
    folder = user_path(out) if out else own
    if out is None:
        files_module.refuse_links(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise files_module.cannot_write(folder, cause) from cause
    return folder
