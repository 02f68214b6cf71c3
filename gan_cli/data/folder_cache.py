"""The cache of a folder of images: one file of pixels, mapped into memory, and what it holds.

    <cache>/folders/<key>/pixels     uint8 [N, C, H, W], nothing else
    <cache>/folders/<key>/index.json what they are; written last, so its presence says "complete"
    <cache>/folders/seen/<name>.json which key a folder had when its files had these sizes and times

The key is a hash of the files' contents, their places and the settings: a copied or touched
folder finds its cache again, a changed one never does.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gan_cli import atomic
from gan_cli.data.rows import Rows
from gan_cli.data.scan import Entry
from gan_cli.errors import DataError

VERSION = 2  # of the decoding: raise it when the same file would give other pixels


@dataclass(frozen=True)
class Index:
    """What a cache holds."""

    shape: tuple[int, int, int, int]  # [N, C, H, W]
    paths: tuple[str, ...]  # of the N images, relative to the root
    broken: tuple[tuple[str, str], ...]  # path and reason of the files left out
    sha256: str  # of the pixels


def digest(parts: Iterable[object]) -> str:
    """A hash, 32 hexadecimal digits, of plain values."""
    # Piece by piece, as of a million files the whole text would take hundreds of megabytes.
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
        """The key that the folder called `name` had when its files looked as they do now."""
        try:
            saved = json.loads((self.home / "seen" / f"{name}.json").read_text())
            return saved["key"] if saved["files"] == _looks(entries) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None  # never seen, or from a broken or other version: the contents decide

    def remember(self, name: str, entries: Sequence[Entry], key: str) -> None:
        """Note the key for `seen`."""
        saved = {"key": key, "files": _looks(entries)}
        atomic.write(self._made("seen") / f"{name}.json", json.dumps(saved), DataError)

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
        """The images [N, C, H, W], mapped into memory; what is written to them stays private."""
        return np.memmap(self.place(key) / "pixels", np.uint8, mode="c", shape=index.shape)

    def rows(self, key: str, index: Index) -> Rows | None:
        """The same images, to be read; None where the system cannot read at a place."""
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
        """Write the cache `key` from pixels, or the reason why there are none, for each path.

        Whoever calls holds the lock of this key.

        Raises:
            DataError: the cache cannot be written, for example because the disk is full.
        """
        place = self._made(key)
        atomic.remove_leftovers(place)
        kept, broken, found = [], [], hashlib.sha256()
        with atomic.replacing(place / "pixels", DataError) as file:
            for path, (pixels, reason) in zip(paths, outcomes, strict=True):
                if reason:
                    broken.append((path, reason))
                else:
                    kept.append(path)
                    file.write(pixels)
                    found.update(pixels)
        shape = (len(kept), *image_shape)
        index = Index(shape, tuple(kept), tuple(broken), found.hexdigest())
        atomic.write(place / "index.json", json.dumps(asdict(index)), DataError)
        return index

    def forget(self, key: str) -> None:
        """Have the cache `key` built anew by the next who wants it."""
        (self.place(key) / "index.json").unlink(missing_ok=True)

    def _made(self, name: str) -> Path:
        folder = self.home / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as cause:
            raise atomic.cannot_write(folder, cause, DataError) from cause
        return folder


def _looks(entries: Sequence[Entry]) -> str:
    return digest((entry.path, entry.size, entry.modified) for entry in entries)
