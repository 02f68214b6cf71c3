"""Any folder of images. Each is decoded once, into a cache that later runs map into memory."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from gan_cli.data.dataset import Dataset
from gan_cli.data.decode import CROPS, HALVES
from gan_cli.data.folder_cache import FolderCache, Index
from gan_cli.data.folder_labels import classify, labels_from, ordered, splits_of, wrapped
from gan_cli.data.published import check_split
from gan_cli.data.resize import Size, parse_size
from gan_cli.data.scan import Entry, printable, scan, shown
from gan_cli.errors import ConfigError, DataError
from gan_cli.formatting import user_path

log = logging.getLogger(__name__)

STYLEGAN = "dataset.json"  # StyleGAN's file of labels
SHOWN = 20  # reasons, or files, that a message lists
FEW = 5  # files that it names for one reason


class Folder(Dataset):
    """Images of one size from the files below `root` (PNG, JPEG, WebP, BMP, GIF, TIFF).

    `scan` defines the files that count, `folder_labels` their labels and parts, `decode` their
    pixels. A broken file is an error, unless `skip_broken`; it is never skipped silently.

    Args:
        root: the folder.
        split: train, test or all; None is train where `root` has such parts, else all.
        size: a number or [height, width]; a part of that aspect is cut out and resized.
        channels: 1 (grey), 3 (colour) or "auto": 1 where every file is stored as grey, else 3.
        classes: "auto" (the sub-folders, where there are at least two) or "none".
        labels: a file of classes instead, below `root`: see `labels_from`.
        crop: the part: "center", "random" (chosen once for each image, by its contents) or "none"
            (the whole image, stretched); "halves" is that of `Pairs`.
        flip: whether training mirrors each image left to right with probability 1/2.
        dequantise: whether training adds uniform noise of one level to each pixel.
        background: the colour behind transparent images, as CSS writes colours.
        skip_broken: continue without the files that cannot be read.
        workers: threads that decode; None: one per core.
        outputs: folders that the program writes to, whose images are ignored.
    """

    def __init__(
        self,
        root: str,
        split: str | None = None,
        size: Size = 64,
        channels: int | str = "auto",
        classes: str = "auto",
        labels: str | None = None,
        crop: str = "center",
        flip: bool = False,
        dequantise: bool = False,
        background: str = "white",
        skip_broken: bool = False,
        workers: int | None = None,
        outputs: Sequence[str] = (),
    ) -> None:
        target = parse_size(size)
        if target is None:
            raise ConfigError("data.size = null: a number or [height,width] is needed for folders")
        if isinstance(channels, bool) or channels not in (1, 3, "auto"):
            raise ConfigError(f"data.channels = {channels}: 1, 3 or auto is needed")
        if classes not in ("auto", "none"):
            raise ConfigError(f"data.classes = {classes}: auto or none is needed")
        if labels is not None and classes == "none":
            raise ConfigError("data.classes = none: data.labels cannot be combined with it")
        if crop not in (*CROPS, HALVES):
            raise ConfigError(f"data.crop = {crop}: {', '.join(CROPS[:-1])} or none is needed")
        self.flips, self.dequantise = flip, dequantise
        if workers is not None and workers < 1:
            raise ConfigError(f"data.workers = {workers}: at least 1, or null, is needed")
        behind = parse_colour(background)
        self.root = folder = _resolved(root)
        listing = scan(folder, outputs)
        if listing.ours:
            ours = shown(listing.ours)
            log.info("%s: skipping folders that this program wrote (%s)", folder, ours)
        paths = [entry.path for entry in listing.entries]
        parts = splits_of(folder, paths, classes == "auto" and labels is None, split == "all")
        part = _chosen(folder, split, parts)
        entries = _of_part(listing.entries, parts.get(part))
        if parts:
            _tell_parts(folder, part, parts, listing.entries)
        needed = [entry.path for entry in entries]
        by_path = None if labels is None else labels_from(folder, labels, paths, needed)
        if labels is None and classes == "auto" and (folder / STYLEGAN).is_file():
            log.info("%s: %s is ignored; data.labels=%s uses it", folder, STYLEGAN, STYLEGAN)

        def labelled(some: Sequence[str]) -> tuple[list[int] | None, tuple[str, ...]]:
            if by_path is not None:
                names = ordered(set(by_path.values()))
                number = {name: index for index, name in enumerate(names)}
                return [number[by_path[path]] for path in some], tuple(names)
            if classes == "none":
                return None, ()
            return classify(folder, [path.partition("/")[2] for path in some] if parts else some)

        _, wanted = labelled(needed)  # its error comes before the work
        if labels is None and classes == "auto" and not parts and (top := wrapped(needed)):
            log.info(
                "%s: all images lie in %s/, so its sub-folders are not classes; data.root=%s makes "
                "them so",
                folder,
                top,
                folder / top,
            )
        cache = FolderCache(folder, target, channels, workers, behind, part, crop)
        self.key, index = cache.prepared(entries)
        if index.broken:
            _report(folder, index, skip_broken)
        self._pixels = index.sha256
        self.paths = index.paths  # of the images, relative to the folder
        numbers, names = labelled(index.paths)
        if lost := sorted(set(wanted) - set(names)):
            left = "" if names else ", so there are no labels"
            log.warning("%s: no image of %s can be read%s", folder, shown(lost), left)
        super().__init__(
            re.sub(r"[^\w.-]+", "_", folder.name) or "folder",
            torch.from_numpy(cache.pixels(self.key, index)),
            None if numbers is None else torch.tensor(numbers),
            names,
            cache.rows(self.key, index),
        )

    @classmethod
    def comes_in_parts(cls, settings: Mapping[str, Any]) -> bool:
        """Whether the folder has one part for training and one for testing."""
        folder = _resolved(settings["root"])
        paths = [entry.path for entry in scan(folder, settings.get("outputs", ())).entries]
        by_folder = settings.get("classes", "auto") == "auto" and settings.get("labels") is None
        return bool(splits_of(folder, paths, by_folder, settings.get("split") == "all"))

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 of the samples and their labels, wherever the folder is.

        The samples' own was computed when they were decoded.
        """
        found = hashlib.sha256(f"{self._pixels} {list(self.spec.shape)}".encode())
        if self.targets is not None:
            found.update(self.targets.cpu().numpy().data)
        return found.hexdigest()


def parse_colour(text: str) -> tuple[int, int, int]:
    """`data.background` as red, green and blue.

    Raises:
        ConfigError: it is not a colour.
    """
    from PIL import ImageColor

    try:
        colour = ImageColor.getrgb(text)
    except ValueError:
        colour = ()
    match colour:
        case (int(red), int(green), int(blue)):
            return red, green, blue
    raise ConfigError(f"data.background = {text}: a colour such as black or '#808080' is needed")


def _resolved(root: str) -> Path:
    if not root:
        raise ConfigError("data.root = '': the folder of images is needed")
    return user_path(root).resolve()


def _chosen(folder: Path, split: str | None, parts: Mapping[str, object]) -> str:
    """The part to use: train, test or all."""
    if split is None:
        return "train" if parts else "all"
    check_split(split)
    if split != "all" and not parts:
        raise ConfigError(
            f"data.split = {split}: {folder} has no folders train and test (or val), with the same "
            "sub-folders or with images alone"
        )
    return split


def _of_part(entries: Sequence[Entry], folders: Sequence[str] | None) -> list[Entry]:
    if folders is None:
        return list(entries)
    return [entry for entry in entries if entry.path.partition("/")[0] in folders]


def _tell_parts(
    folder: Path, part: str, parts: Mapping[str, Sequence[str]], entries: Sequence[Entry]
) -> None:
    counts = [
        f"{parts[name][0]}/ ({len(_of_part(entries, parts[name])):,} images) is data.split={name}"
        for name in ("train", "test")
    ]
    log.info("%s: %s; this is %s", folder, ", ".join(counts), part)


def _report(folder: Path, index: Index, skip_broken: bool) -> None:
    """Log the broken files as a warning, or raise."""
    count, kept = len(index.broken), index.shape[0]
    listed = "\n".join(by_reason(index.broken))
    if kept and skip_broken:
        of_all = f"{count:,} of {count + kept:,}"
        log.warning("%s: continuing without broken images (%s):\n%s", folder, of_all, listed)
        return
    advice = (
        "repair or delete them, or skip them with data.skip_broken=true"
        if kept
        else "no other image is left"
    )
    raise DataError(
        f"data.root = {folder}: {count:,} of {count + kept:,} images cannot be read; {advice}:\n"
        f"{listed}"
    )


def by_reason(broken: Sequence[tuple[str, str]]) -> list[str]:
    """One line per reason, with its number of files and the first of them."""
    files: dict[str, list[str]] = {}
    for path, reason in broken:
        files.setdefault(reason, []).append(printable(path))
    lines = [
        f"  {paths[0]}: {reason}"
        if len(paths) == 1
        else f"  {len(paths):,} files: {reason} ({shown(paths, FEW)})"
        for reason, paths in files.items()
    ]
    if len(lines) > SHOWN:
        rest = sum(map(len, list(files.values())[SHOWN:]))
        lines[SHOWN:] = [f"  ... and {rest:,} more"]
    return lines
