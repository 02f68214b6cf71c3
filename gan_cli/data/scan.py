"""Which files of a folder are images, and what classes they have.

- Hidden files and folders (names that begin with a dot) and `__MACOSX` are passed over.
- A file is an image if its name ends like one (`IMAGES`), or if its name says nothing (`photo`,
  `photo.dat`) and its first bytes are those of a PNG, JPEG, WebP or BMP.
- A file whose name is that of an image format that cannot be read (`OTHERS`) is a broken image.
- All else (`labels.csv`, `README`) is no image and is left alone.
- Links are followed; a folder that is reached twice is entered once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gan_cli.errors import DataError

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib"})
OTHERS = frozenset(
    {".gif", ".tif", ".tiff", ".avif", ".heic", ".heif", ".jp2", ".jxl", ".ico", ".tga", ".psd"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".pcx", ".svg", ".exr", ".hdr", ".dds", ".cr2", ".nef"}
    | {".arw", ".dng", ".raw"}
)
TEXTS = frozenset({".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".md", ".html", ".yaml"})


@dataclass(frozen=True, slots=True)
class Entry:
    """An image file as the file system describes it."""

    path: str  # relative to the root, with forward slashes
    size: int  # bytes
    modified: int  # nanoseconds

    @property
    def suffix(self) -> str:
        """The ending of the name, in lower case."""
        return os.path.splitext(self.path)[1].lower()  # noqa: PTH122 - many thousands of them


def scan(root: Path) -> list[Entry]:
    """The image files below `root`, in the order of their paths.

    Raises:
        DataError: there is no such folder, it cannot be read, or it holds no image.
    """
    if not root.is_dir():
        what = "a file, not a folder" if root.exists() else "no such folder"
        raise DataError(f"data.root = {root}: {what}; a folder of images is needed")
    try:
        entries = sorted(_walk(root, "", set()), key=lambda entry: entry.path)
    except OSError as cause:
        raise DataError(
            f"data.root = {root}: {cause.filename}: cannot be read: {cause.strerror}"
        ) from cause
    if not entries:
        raise DataError(
            f"data.root = {root}: holds no images; PNG, JPEG, WebP or BMP files are needed"
        )
    return entries


def _walk(folder: Path, prefix: str, seen: set[tuple[int, int]]) -> Iterator[Entry]:
    identity = folder.stat()
    if (identity.st_dev, identity.st_ino) in seen:
        return
    seen.add((identity.st_dev, identity.st_ino))
    with os.scandir(folder) as children:
        for child in sorted(children, key=lambda child: child.name):
            if child.name.startswith(".") or child.name == "__MACOSX":
                continue
            if child.is_dir():
                yield from _walk(Path(child.path), f"{prefix}{child.name}/", seen)
            elif _is_image(child):
                yield _entry(child, prefix)


def _entry(child: os.DirEntry[str], prefix: str) -> Entry:
    try:
        stat = child.stat()
    except FileNotFoundError:  # a link to nothing: kept, and reported as broken
        return Entry(prefix + child.name, -1, -1)
    return Entry(prefix + child.name, stat.st_size, stat.st_mtime_ns)


def _is_image(child: os.DirEntry[str]) -> bool:
    suffix = os.path.splitext(child.name)[1].lower()  # noqa: PTH122
    if suffix in IMAGES or suffix in OTHERS:
        return True
    if suffix in TEXTS or not child.is_file():
        return False
    try:
        with open(child.path, "rb") as file:  # noqa: PTH123
            start = file.read(16)
    except OSError:
        return False  # nothing says that it is an image
    return is_readable_format(start)


def is_readable_format(start: bytes) -> bool:
    """Whether a file that begins with these 16 bytes is a PNG, JPEG, WebP or BMP."""
    png, jpeg = start.startswith(b"\x89PNG\r\n\x1a\n"), start.startswith(b"\xff\xd8\xff")
    webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    bmp = start[:2] == b"BM" and start[6:10] == bytes(4)
    return png or jpeg or webp or bmp


def classify(root: Path, paths: Sequence[str]) -> tuple[list[int] | None, tuple[str, ...]]:
    """Labels and class names: the first sub-folder of each path is its class.

    Images that lie in the root alone, or all in one sub-folder, have no classes. Classes are
    sorted by name, or by value where every name is a number.

    Raises:
        DataError: some images lie in sub-folders and others beside them.
    """
    folders = [path.split("/", 1)[0] if "/" in path else "" for path in paths]
    names = sorted(set(folders) - {""})
    if len(names) < 2:
        return None, ()
    loose = folders.count("")
    if loose:
        raise DataError(
            f"data.root = {root}: beside the class folders "
            f"({', '.join(names[:3])}{' ...' if len(names) > 3 else ''}) lie images without a "
            f"class ({loose:,}); move them into one, or set data.classes=none"
        )
    if all(name.isdecimal() for name in names):
        names.sort(key=lambda name: (int(name), name))
    number = {name: place for place, name in enumerate(names)}
    return [number[folder] for folder in folders], tuple(names)
