"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from gan_cli.errors import CheckpointError, UserError

WRITING = 60.0  # seconds that one small file takes to write at most
NO_ROOM = os.strerror(errno.ENOSPC)
LEAST_ROOM = 2**20  # free bytes below which a failure is put down to the full disk
ADVICE = "make room or choose another folder"


def cannot_write(path: Path, cause: OSError, error: type[UserError] = UserError) -> UserError:
    """The one line for a file that cannot be written: disk full, read-only, no permission."""
    return error(f"{path}: cannot be written: {cause.strerror or cause}; {ADVICE}")


def full(folder: Path) -> bool:
    """Whether the disk of a folder is as good as full."""
    return shutil.disk_usage(folder).free < LEAST_ROOM


@contextmanager
def replacing(
    path: Path, error: type[UserError] = UserError, durable: bool = True
) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` at the end or never.

    It lies beside `path` as `.<name>.<random>.tmp` until then. Whoever reads `path`, at any moment
    and after any crash of the program (where `durable`, of the machine), finds the old bytes or the
    new ones.

    Raises:
        UserError: (or the given `error`) the operating system refuses; the old file is untouched.
    """
    aside = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
    try:
        try:
            with aside.open("xb") as file:
                yield file
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            aside.replace(path)
            if durable:
                sync_folder(path.parent)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
    except OSError as cause:
        raise cannot_write(path, cause, error) from cause


def write(path: Path, data: bytes | str, error: type[UserError] = UserError) -> None:
    """Put `data` (text as UTF-8, what is no Unicode in escapes) into `path`; see `replacing`."""
    content = data.encode(errors="backslashreplace") if isinstance(data, str) else data
    with replacing(path, error) as file:
        file.write(content)


def refuse_links(*paths: Path) -> None:
    """Check that files and folders below one of ours are there themselves.

    Raises:
        CheckpointError: one is a link.
    """
    for path in paths:
        if path.is_symlink():
            raise CheckpointError(
                f"{path}: is a link, which would lead out of {path.parent}; put what it means in "
                "its place"
            )


def require_files(*paths: Path) -> None:
    """Check that there are regular files, or nothing: not folders, pipes or devices.

    Raises:
        CheckpointError: one is something else.
    """
    for path in paths:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(path.lstat().st_mode):
                raise CheckpointError(f"{path}: is not a regular file; remove it")


def appending(path: Path) -> int:
    """A handle that appends to a file, which is made where missing.

    A link is not followed, as it would lead out of the folder; nobody waits for a pipe's reader.

    Raises:
        OSError: it cannot be opened so.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    flags |= getattr(os, "O_BINARY", 0)
    if path.is_symlink():
        raise OSError(errno.ELOOP, "is a link, and none is followed")
    return os.open(path, flags, 0o666)


def link(source: Path, target: Path, error: type[UserError] = UserError) -> None:
    """Let `target` be the same bytes as `source`, in place of what it was: a link or a copy.

    Raises:
        UserError: (or the given `error`) neither can be made.
    """
    aside = target.with_name(f".{target.name}.{uuid4().hex[:8]}.tmp")
    try:
        os.link(source, aside)
    except OSError:  # a file system without links
        with source.open("rb") as original, replacing(target, error) as copy:
            shutil.copyfileobj(original, copy)
        return
    try:
        aside.replace(target)
        sync_folder(target.parent)
    except OSError as cause:
        raise cannot_write(target, cause, error) from cause
    finally:
        aside.unlink(missing_ok=True)  # replacing a link to the same file leaves it there


def sync_folder(folder: Path) -> None:
    """Make renames within `folder` survive a power cut."""
    if os.name != "posix":
        return  # elsewhere a folder cannot be opened, and renames are durable by themselves
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(folder: Path, older_than: float | None = None) -> None:
    """Delete what killed writers left in `folder`.

    Args:
        folder: may be missing.
        older_than: seconds since the last change of what is deleted, where there may be other
            writers; None for who is the only one.
    """
    for aside in folder.glob(".*.tmp"):
        with suppress(FileNotFoundError):  # the writer was alive
            if older_than is None or time.time() - aside.lstat().st_mtime > older_than:
                aside.unlink()


class AppendedFile:
    """A file to which whole records are appended; each is with the operating system at once.

    Nothing waits in memory, so a killed process leaves all its records, and a full disk shows at
    the very call that meets it. A record of which only a part was taken is cut off again: the next
    ones would be lost behind it.

    Raises:
        UserError: (also from `append`) the file cannot be written, or was deleted meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = os.fdopen(appending(path), "ab", buffering=0)
        except OSError as cause:
            raise cannot_write(path, cause) from cause

    def append(self, record: bytes) -> None:
        """Write `record` at the end."""
        handle = self._file.fileno()
        try:
            before, rest = os.fstat(handle).st_size, memoryview(record)
            try:
                while rest:  # a disk that fills up takes a part, and refuses the next
                    rest = rest[self._file.write(rest) or 0 :]
            except OSError:
                with suppress(OSError):
                    os.ftruncate(handle, before)
                raise
            # A deleted file swallows what is written; its readers would see a curve that stops.
            if os.name == "posix" and os.fstat(handle).st_nlink == 0:
                raise OSError(errno.ENOENT, "deleted while the run was writing to it")
        except OSError as cause:
            raise cannot_write(self.path, cause) from cause

    def close(self) -> None:
        """Let go of the file; more than once does no harm."""
        self._file.close()


log = logging.getLogger(__name__)


@contextmanager
def locked(path: Path, doing: str) -> Iterator[None]:
    """Hold the lock file `path`; `doing` is what another process does that already holds it.

    Raises:
        OSError: the file cannot be made.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("waiting for another process, which %s", doing)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
