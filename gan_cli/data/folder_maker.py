"""From a folder of image files to its cache: found again, or decoded with all cores."""

from __future__ import annotations

import logging
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from gan_cli.data.decode import CHANGED, WHITE, Colour, Decoded, Inspected, decode, inspect
from gan_cli.data.download import cache_folder, unwritable
from gan_cli.data.folder_cache import FolderCache, Index, digest
from gan_cli.data.lock import locked
from gan_cli.data.pool import Pool, cores
from gan_cli.data.progress import progress_bar
from gan_cli.data.scan import Entry
from gan_cli.errors import DataError

log = logging.getLogger(__name__)

FEW = 200  # files that are decoded sooner than processes have started
LOOKS_EACH = 64  # files that a worker inspects at a time
BYTES_EACH = 4 << 20  # pixels that a worker sends at a time
DIED = "ended the process that decoded it (out of memory?)"


def free_bytes(folder: Path) -> int:
    """Room on the disk of `folder`."""
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
        self.root, self.size, self.channels, self.workers = root, size, channels, workers
        self.background, self.part = background, part
        self.cache = FolderCache(cache_folder() / "folders")

    def prepared(self, entries: Sequence[Entry]) -> tuple[str, Index]:
        """The key and the index of a complete cache of these files.

        Unchanged files (by path, size and time) are not read again. Else all are, and only where
        no folder ever had the same contents are they decoded.

        Raises:
            DataError: the cache cannot be written, or a file changes meanwhile.
        """
        choice = [self.size, self.channels, self.background]
        name = digest([os.fsencode(self.root).hex(), *choice, self.part])
        key = self.cache.seen(name, entries)
        index = None if key is None else self.cache.load(key)
        if key is not None and index is not None:
            return key, index
        with Pool(self._workers(len(entries))) as pool:
            looks = self._inspected(entries, pool)
            contents = (
                (entry.path, look.sha256, look.broken)
                for entry, look in zip(entries, looks, strict=True)
            )
            key = digest([*choice, *contents])
            index = self._built(key, entries, looks, pool)
        if all(look.sha256 for look in looks):
            # (A file that could not be read may become readable and look the same as before.)
            self.cache.remember(name, entries, key)
        return key, index

    def forget_passing(self, key: str, index: Index) -> None:
        """Let the next run try again if files failed in a way that may pass."""
        if any(reason == DIED for _, reason in index.broken):
            self.cache.forget(key)

    def _workers(self, files: int) -> int:
        return self.workers or (1 if files < FEW else cores())

    def _inspected(self, entries: Sequence[Entry], pool: Pool) -> list[Inspected]:
        paths = (self.root / entry.path for entry in entries)
        looks: list[Inspected] = []
        with progress_bar(f"reading {self.root.name}", len(entries)) as advance:
            for piece in pool.map(inspect, paths, LOOKS_EACH, lambda _: Inspected(broken=DIED)):
                looks += piece
                advance(len(piece))
        return looks

    def _built(
        self, key: str, entries: Sequence[Entry], looks: Sequence[Inspected], pool: Pool
    ) -> Index:
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
                return self.cache.build(
                    key, paths, shape, self._outcomes(entries, looks, pool, shape)
                )
        except OSError as cause:
            raise unwritable(self.cache.home, cause) from cause

    def _check_room(self, needed: int) -> None:
        free = free_bytes(self.cache.home)
        if needed > free:
            raise DataError(
                f"{self.cache.home}: {needed / 1e9:.1f} GB are needed for the images as pixels and "
                f"{free / 1e9:.1f} GB are free; make room, set $GAN_CLI_CACHE to a folder on "
                "another disk, or lower data.size"
            )

    def _outcomes(
        self,
        entries: Sequence[Entry],
        looks: Sequence[Inspected],
        pool: Pool,
        shape: tuple[int, int, int],
    ) -> Iterator[tuple[bytes, str]]:
        """Pixels or the reason why there are none, file by file."""
        jobs = (
            (self.root / entry.path, look.sha256)
            for entry, look in zip(entries, looks, strict=True)
            if not look.broken
        )
        each = max(1, min(32, BYTES_EACH // (shape[0] * shape[1] * shape[2])))
        function = partial(decode, size=self.size, channels=shape[0], background=self.background)
        pieces = pool.map(function, jobs, each, lambda _: Decoded(broken=DIED))
        decoded = (one for piece in pieces for one in piece)
        count = sum(not look.broken for look in looks)
        if count:
            log.info("decoding %s images of %s", f"{count:,}", self.root)
        with progress_bar(f"decoding {self.root.name}", len(entries)) as advance:
            for entry, look in zip(entries, looks, strict=True):
                outcome = Decoded(broken=look.broken) if look.broken else next(decoded)
                if outcome.broken == CHANGED:
                    raise DataError(
                        f"{self.root / entry.path}: {CHANGED}; start again when the folder rests"
                    )
                yield outcome.pixels, outcome.broken
                advance(1)
