"""One process at a time makes a thing in the cache; others wait, and say so."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
