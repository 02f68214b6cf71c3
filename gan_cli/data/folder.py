"""Any folder of images. Each is decoded once, into a cache that later runs map into memory."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from functools import cached_property
from pathlib import Path

import torch

from gan_cli.data.dataset import Dataset
from gan_cli.data.folder_cache import Index
from gan_cli.data.folder_maker import FolderMaker
from gan_cli.data.geometry import Size, parse_size
from gan_cli.data.scan import classify, scan
from gan_cli.errors import ConfigError, DataError

log = logging.getLogger(__name__)

SHOWN = 20  # broken files that a message lists


class Folder(Dataset):
    """Images of one size from the files below `root` (PNG, JPEG, WebP, BMP).

    Which files count is told in `scan`, how they become pixels in `decode`. A broken file stops
    everything, unless `skip_broken`; it is never left out silently.

    Args:
        root: the folder.
        size: a number or [height, width]; the centre of that aspect is cut out and resized.
        channels: 1 (grey), 3 (colour) or "auto": 1 where every file is stored as grey, else 3.
        classes: "auto" (the sub-folders, where there are at least two) or "none".
        skip_broken: go on without the files that cannot be read.
        workers: processes that decode; None takes one per core.
    """

    def __init__(
        self,
        root: str,
        size: Size = 64,
        channels: int | str = "auto",
        classes: str = "auto",
        skip_broken: bool = False,
        workers: int | None = None,
    ) -> None:
        target = parse_size(size)
        if target is None:
            raise ConfigError("data.size = null: a number or [height,width] is needed for folders")
        if isinstance(channels, bool) or channels not in (1, 3, "auto"):
            raise ConfigError(f"data.channels = {channels}: 1, 3 or auto is needed")
        if classes not in ("auto", "none"):
            raise ConfigError(f"data.classes = {classes}: auto or none is needed")
        if workers is not None and workers < 1:
            raise ConfigError(f"data.workers = {workers}: at least 1, or null, is needed")
        if not root:
            raise ConfigError("data.root = '': the folder of images is needed")
        folder = Path(root).expanduser().resolve()
        entries = scan(folder)
        if classes == "auto":
            classify(folder, [entry.path for entry in entries])  # its error comes before the work
        maker = FolderMaker(folder, target, channels, workers)
        self.key, index = maker.prepared(entries)
        if index.broken:
            _report(folder, index, skip_broken, maker, self.key)
        labels, names = classify(folder, index.paths) if classes == "auto" else (None, ())
        super().__init__(
            re.sub(r"[^\w.-]+", "_", folder.name) or "folder",
            torch.from_numpy(maker.cache.pixels(self.key, index)),
            None if labels is None else torch.tensor(labels),
            names,
            maker.cache.rows(self.key, index),
        )

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 that stands for the files' contents, their places, labels and description.

        Unlike that of other data sets it comes from the cache's key, not from reading all pixels.
        """
        return hashlib.sha256(f"{self.key} {self.spec!r}".encode()).hexdigest()


def _report(folder: Path, index: Index, skip_broken: bool, maker: FolderMaker, key: str) -> None:
    """Warn of the broken files, or refuse to go on."""
    count, kept = len(index.broken), index.shape[0]
    lines = [f"  {printable(path)}: {reason}" for path, reason in index.broken[:SHOWN]]
    if count > SHOWN:
        lines.append(f"  ... and {count - SHOWN:,} more")
    listed = "\n".join(lines)
    if kept and skip_broken:
        of_all = f"{count:,} of {count + kept:,}"
        log.warning("%s: going on without broken images (%s):\n%s", folder, of_all, listed)
        return
    maker.forget_passing(key, index)
    advice = (
        "mend or remove them, or leave them out with data.skip_broken=true"
        if kept
        else "there is no other image"
    )
    raise DataError(
        f"data.root = {folder}: {count:,} of {count + kept:,} images cannot be read; {advice}:\n"
        f"{listed}"
    )


def printable(path: str) -> str:
    """A path with bytes that are no text written as escapes, so that it can be printed."""
    return os.fsencode(path).decode(errors="backslashreplace")
