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
    CENTER,
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

VERSION = 3  # of the decoding: increase it when the same file gives other pixels


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
    """The cache of one folder with one choice of settings.

    Args:
        root: the folder.
        size: height and width of the images.
        channels: 1, 3 or "auto".
        workers: threads that decode; None: one per core.
        background: the colour behind transparent images.
        part: the part of the folder that is used: train, test or all.
        crop: the part of each image: one of `CROPS`.
    """

    def __init__(
        self,
        root: Path,
        size: tuple[int, int],
        channels: int | str,
        workers: int | None = None,
        background: Colour = WHITE,
        part: str = "all",
        crop: str = CENTER,
    ) -> None:
        self.root, self.size, self.channels = root, size, channels
        self.threads, self.background = workers or cores(), background
        self.home = cache_folder() / "folders"
        self.crop = crop
        self._settings = [size, channels, background, crop]
        self._name = digest([os.fsencode(root).hex(), *self._settings, part])

    def prepared(self, entries: Sequence[Entry]) -> tuple[str, Index]:
        """The key and the index of a complete cache of these files.

        Unchanged files (by path, size and time) are not read again. Otherwise all are read, and
        decoded unless a folder with the same contents was.

        Raises:
            DataError: the cache cannot be written, or a file changes while it is read.
        """
        key = self._seen(entries)
        index = None if key is None else self._load(key)
        if key is not None and index is not None:
            return key, index
        with silenced(any(entry.suffix in TIFFS for entry in entries)):
            looks = self._inspected(entries)
            contents = (
                (entry.path, look.sha256, look.broken)
                for entry, look in zip(entries, looks, strict=True)
            )
            key = digest([*self._settings, *contents])
            index = self._built(key, entries, looks)
        if all(look.sha256 for look in looks):
            # (A file that could not be read may become readable without a change of size or time.)
            self.remember(entries, key)
        return key, index

    def pixels(self, key: str, index: Index) -> np.ndarray:
        """The images [N, C, H, W], mapped into memory, copy-on-write."""
        return np.memmap(self.home / key / "pixels", np.uint8, mode="c", shape=index.shape)

    def rows(self, key: str, index: Index) -> Rows | None:
        """The same images, read by index; None where the system has no `preadv`."""
        if not hasattr(os, "preadv"):
            return None
        return Rows(self.home / key / "pixels", index.shape[1:])

    def remember(self, entries: Sequence[Entry], key: str) -> None:
        """Save the key for files with these paths, sizes and times."""
        saved = {"key": key, "files": _state(entries)}
        try:
            write(self._folder("seen") / f"{self._name}.json", json.dumps(saved), DataError)
        except DataError as cause:  # as on a disk for reading alone, with the images in its cache
            log.info("%s; the files will be read again", cause)

    def _seen(self, entries: Sequence[Entry]) -> str | None:
        try:
            saved = json.loads((self.home / "seen" / f"{self._name}.json").read_text())
            return saved["key"] if saved["files"] == _state(entries) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None  # never seen, or written by another version: the contents decide

    def _load(self, key: str) -> Index | None:
        """The index of a complete cache, or None."""
        try:
            saved = json.loads((self.home / key / "index.json").read_text())
            index = Index(
                tuple(saved["shape"]),
                tuple(saved["paths"]),
                tuple((path, reason) for path, reason in saved["broken"]),
                str(saved["sha256"]),
            )
            size = (self.home / key / "pixels").stat().st_size
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return index if size == math.prod(index.shape) else None

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
            index = self._load(key)  # of the same images in another folder
            if index is not None:
                return index
            with locked(self.home / f"{key}.lock", "decodes the same images"):
                index = self._load(key)  # another process may have built it meanwhile
                if index is not None:
                    return index
                self._check_room(sum(not look.broken for look in looks) * math.prod(shape))
                self._tell_enlarged([look.size for look in looks if not look.broken])
                return self._written(key, entries, shape, self._decoded(entries, looks, channels))
        except OSError as cause:
            raise unwritable(self.home, cause) from cause

    def _tell_enlarged(self, sizes: Sequence[tuple[int, int]]) -> None:
        """Say how many images are smaller than they are used, and by how much at most."""
        height, width = self.size
        factors = [max(height / own[0], width / own[1]) for own in sizes]
        if small := sum(factor > 1 for factor in factors):
            log.info(
                "%s: %s of %s images are smaller than %dx%d and are enlarged, up to %.3g times",
                *(self.root, f"{small:,}", f"{len(sizes):,}", height, width, max(factors)),
            )

    def _check_room(self, needed: int) -> None:
        free = shutil.disk_usage(self.home).free
        if needed > free:
            raise DataError(
                f"{self.home}: {needed / 1e9:.1f} GB are needed for the decoded images, "
                f"{free / 1e9:.1f} GB are free; free some space, set $GAN_CLI_CACHE to a folder on "
                "another disk, or lower data.size"
            )

    def _decoded(
        self, entries: Sequence[Entry], looks: Sequence[Inspected], channels: int
    ) -> Iterator[Decoded]:
        """The pixels, or the fault, of each file."""
        pairs = zip(entries, looks, strict=True)
        sound = ((self.root / entry.path, look.sha256) for entry, look in pairs if not look.broken)
        if count := sum(not look.broken for look in looks):
            log.info("decoding %s images of %s", f"{count:,}", self.root)
        decoded = on_threads(
            lambda job: decode(*job, self.size, channels, self.background, self.crop),
            sound,
            self.threads,
        )
        with progress_bar(f"decoding {self.root.name}", len(entries)) as advance:
            for entry, look in zip(entries, looks, strict=True):
                image = Decoded(broken=look.broken) if look.broken else next(decoded)
                if image.broken == CHANGED:
                    raise DataError(
                        f"{self.root / entry.path}: {CHANGED}; start again once the folder is "
                        "complete"
                    )
                yield image
                advance(1)

    def _written(
        self,
        key: str,
        entries: Sequence[Entry],
        shape: tuple[int, int, int],
        images: Iterable[Decoded],
    ) -> Index:
        """Write the cache `key`, whose lock the caller holds."""
        folder = self._folder(key)
        remove_leftovers(folder)
        kept, broken, found = [], [], hashlib.sha256()
        with replacing(folder / "pixels", DataError) as file:
            for entry, image in zip(entries, images, strict=True):
                if image.broken:
                    broken.append((entry.path, image.broken))
                else:
                    kept.append(entry.path)
                    file.write(image.pixels)
                    found.update(image.pixels)
        index = Index((len(kept), *shape), tuple(kept), tuple(broken), found.hexdigest())
        write(folder / "index.json", json.dumps(asdict(index)), DataError)
        return index

    def _folder(self, name: str) -> Path:
        folder = self.home / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as cause:
            raise cannot_write(folder, cause, DataError) from cause
        return folder


def _state(entries: Sequence[Entry]) -> str:
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
