"""The cache of a folder of images: one file of pixels, mapped into memory, and its index.

    <cache>/folders/<key>/pixels     uint8 [N, C, H, W], nothing else
    <cache>/folders/<key>/index.json their description; written last, so it marks a complete cache
    <cache>/folders/seen/<name>.json the key of a folder whose files had these sizes and times

The key is a hash of the files' contents, their paths and the settings: a copied or touched
folder finds its cache again, a changed one gets another.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from gan_cli.console import progress_bar
from gan_cli.data.dataset import Rows
from gan_cli.data.decode import (
    CHANGED,
    WHITE,
    Colour,
    Decoded,
    Inspected,
    decode,
    inspect,
    silenced,
)
from gan_cli.data.published import cache_folder, unwritable
from gan_cli.data.scan import TIFFS, Entry
from gan_cli.device import cores
from gan_cli.errors import DataError
from gan_cli.files import cannot_write, locked, remove_leftovers, replacing, write

log = logging.getLogger(__name__)

VERSION = 2  # of the decoding: increase it when the same file gives other pixels


@dataclass(frozen=True)
class Index:
    """The description of a cache."""

    shape: tuple[int, int, int, int]  # [N, C, H, W]
    paths: tuple[str, ...]  # of the N images, relative to the root
    broken: tuple[tuple[str, str], ...]  # path and reason of the skipped files
    sha256: str  # of the pixels


def digest(parts: Iterable[object]) -> str:
    """A hash, 32 hexadecimal digits, of plain values."""
    # In pieces: the text of a million files would take hundreds of megabytes.
    found = hashlib.sha256(f"[{VERSION}".encode())
    for part in parts:
        found.update(f", {json.dumps(part, sort_keys=True)}".encode())
    found.update(b"]")
    return found.hexdigest()[:32]


class FolderCache:
    """The caches below `home` (the cache folder's `folders`)."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def place(self, key: str) -> Path:
        """The folder of the cache `key`."""
        return self.home / key

    def seen(self, name: str, entries: Sequence[Entry]) -> str | None:
        """The key of the folder `name`, if its files have unchanged paths, sizes and times."""
        try:
            saved = json.loads((self.home / "seen" / f"{name}.json").read_text())
            return saved["key"] if saved["files"] == _looks(entries) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None  # never seen, or written by another version: the contents decide

    def remember(self, name: str, entries: Sequence[Entry], key: str) -> None:
        """Save the key for `seen`."""
        saved = {"key": key, "files": _looks(entries)}
        write(self._made("seen") / f"{name}.json", json.dumps(saved), DataError)

    def load(self, key: str) -> Index | None:
        """The index of a complete cache, or None."""
        place = self.place(key)
        try:
            saved = json.loads((place / "index.json").read_text())
            index = Index(
                tuple(saved["shape"]),
                tuple(saved["paths"]),
                tuple((path, reason) for path, reason in saved["broken"]),
                str(saved["sha256"]),
            )
            size = (place / "pixels").stat().st_size
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return index if size == math.prod(index.shape) else None

    def pixels(self, key: str, index: Index) -> np.ndarray:
        """The images [N, C, H, W], mapped into memory, copy-on-write."""
        return np.memmap(self.place(key) / "pixels", np.uint8, mode="c", shape=index.shape)

    def rows(self, key: str, index: Index) -> Rows | None:
        """The same images, read by index; None where the system has no `preadv`."""
        if not hasattr(os, "preadv"):
            return None
        return Rows(self.place(key) / "pixels", index.shape[1:])

    def build(
        self,
        key: str,
        paths: Sequence[str],
        image_shape: tuple[int, int, int],
        outcomes: Iterable[tuple[bytes, str]],
    ) -> Index:
        """Write the cache `key` from the pixels, or the fault, of each path.

        The caller holds the lock of this key.

        Raises:
            DataError: the cache cannot be written, for example because the disk is full.
        """
        place = self._made(key)
        remove_leftovers(place)
        kept, broken, found = [], [], hashlib.sha256()
        with replacing(place / "pixels", DataError) as file:
            for path, (pixels, reason) in zip(paths, outcomes, strict=True):
                if reason:
                    broken.append((path, reason))
                else:
                    kept.append(path)
                    file.write(pixels)
                    found.update(pixels)
        shape = (len(kept), *image_shape)
        index = Index(shape, tuple(kept), tuple(broken), found.hexdigest())
        write(place / "index.json", json.dumps(asdict(index)), DataError)
        return index

    def forget(self, key: str) -> None:
        """Invalidate the cache `key`, so that its next user rebuilds it."""
        (self.place(key) / "index.json").unlink(missing_ok=True)

    def _made(self, name: str) -> Path:
        folder = self.home / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as cause:
            raise cannot_write(folder, cause, DataError) from cause
        return folder


def _looks(entries: Sequence[Entry]) -> str:
    return digest((entry.path, entry.size, entry.modified) for entry in entries)


Item = TypeVar("Item")
Result = TypeVar("Result")
WAITING = 4  # items in progress per thread


def on_threads(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[Result]:
    """The results of `work` in order, with a bounded number of items in progress."""
    pool, waiting = ThreadPoolExecutor(threads, "decode"), deque[Future[Result]]()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= WAITING * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk of `folder`."""
    return shutil.disk_usage(folder).free


class FolderMaker:
    """Prepares the cache of one folder with one choice of settings."""

    def __init__(
        self,
        root: Path,
        size: tuple[int, int],
        channels: int | str,
        workers: int | None,
        background: Colour = WHITE,
        part: str = "all",
    ) -> None:
        self.root, self.size, self.channels = root, size, channels
        self.threads = workers or cores()
        self.background, self.part = background, part
        self.cache = FolderCache(cache_folder() / "folders")

    def prepared(self, entries: Sequence[Entry]) -> tuple[str, Index]:
        """The key and the index of a complete cache of these files.

        Unchanged files (by path, size and time) are not read again. Otherwise all are read, and
        decoded unless a folder with the same contents was.

        Raises:
            DataError: the cache cannot be written, or a file changes while it is read.
        """
        choice = [self.size, self.channels, self.background]
        name = digest([os.fsencode(self.root).hex(), *choice, self.part])
        key = self.cache.seen(name, entries)
        index = None if key is None else self.cache.load(key)
        if key is not None and index is not None:
            return key, index
        with silenced(any(entry.suffix in TIFFS for entry in entries)):
            looks = self._inspected(entries)
            contents = (
                (entry.path, look.sha256, look.broken)
                for entry, look in zip(entries, looks, strict=True)
            )
            key = digest([*choice, *contents])
            index = self._built(key, entries, looks)
        if all(look.sha256 for look in looks):
            # (A file that could not be read may become readable without a change of size or time.)
            self.cache.remember(name, entries, key)
        return key, index

    def _inspected(self, entries: Sequence[Entry]) -> list[Inspected]:
        looks: list[Inspected] = []
        paths = (self.root / entry.path for entry in entries)
        with progress_bar(f"reading {self.root.name}", len(entries)) as advance:
            for look in on_threads(inspect, paths, self.threads):
                looks.append(look)
                advance(1)
        return looks

    def _built(self, key: str, entries: Sequence[Entry], looks: Sequence[Inspected]) -> Index:
        channels = self.channels
        if isinstance(channels, str):
            channels = 3 if any(look.channels == 3 for look in looks) else 1
        shape = (channels, *self.size)
        try:
            with locked(self.cache.home / f"{key}.lock", "decodes the same images"):
                index = self.cache.load(key)  # another process may have built it meanwhile
                if index is not None:
                    return index
                self._check_room(sum(not look.broken for look in looks) * math.prod(shape))
                paths = [entry.path for entry in entries]
                return self.cache.build(key, paths, shape, self._outcomes(entries, looks, shape))
        except OSError as cause:
            raise unwritable(self.cache.home, cause) from cause

    def _check_room(self, needed: int) -> None:
        free = free_bytes(self.cache.home)
        if needed > free:
            raise DataError(
                f"{self.cache.home}: {needed / 1e9:.1f} GB are needed for the decoded images, "
                f"{free / 1e9:.1f} GB are free; free some space, set $GAN_CLI_CACHE to a folder on "
                "another disk, or lower data.size"
            )

    def _outcomes(
        self, entries: Sequence[Entry], looks: Sequence[Inspected], shape: tuple[int, int, int]
    ) -> Iterator[tuple[bytes, str]]:
        """The pixels, or the fault, of each file."""
        pairs = zip(entries, looks, strict=True)
        sound = ((self.root / entry.path, look.sha256) for entry, look in pairs if not look.broken)
        decoded = on_threads(
            lambda job: decode(*job, self.size, shape[0], self.background), sound, self.threads
        )
        count = sum(not look.broken for look in looks)
        if count:
            log.info("decoding %s images of %s", f"{count:,}", self.root)
        with progress_bar(f"decoding {self.root.name}", len(entries)) as advance:
            for entry, look in zip(entries, looks, strict=True):
                outcome = Decoded(broken=look.broken) if look.broken else next(decoded)
                if outcome.broken == CHANGED:
                    raise DataError(
                        f"{self.root / entry.path}: {CHANGED}; start again once the folder is "
                        "complete"
                    )
                yield outcome.pixels, outcome.broken
                advance(1)
