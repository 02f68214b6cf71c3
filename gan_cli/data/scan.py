"""The image files below a folder.

- Hidden files and folders (names that begin with a dot) and folders that operating systems and
  network drives create (`SYSTEM`) are skipped silently.
- Folders that this program wrote are skipped and logged, so that no run trains on samples of
  earlier ones: the given `outputs`, and all with the record of a run, a sweep or a study.
- A file is an image if its suffix is that of one (`IMAGES`), or if its suffix is unknown (`photo`,
  `photo.dat`) and its first bytes are those of a readable image.
- A file with the suffix of an unsupported image format (`OTHERS`) is a broken image.
- All other files (`labels.csv`, `README`) are ignored.
- Links are followed, but not to a folder that holds the root, such as / or a home folder; a folder
  that is reached twice is entered once.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gan_cli.errors import DataError
from gan_cli.formatting import user_path

IMAGES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff"}
)
OTHERS = frozenset(
    {".avif", ".heic", ".heif", ".jp2", ".jxl", ".ico", ".tga", ".psd", ".ppm", ".pgm", ".pbm"}
    | {".pnm", ".pcx", ".svg", ".exr", ".hdr", ".dds", ".cr2", ".nef", ".arw", ".dng", ".raw"}
)
TEXTS = frozenset({".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".md", ".html", ".yaml"})
TIFFS = frozenset({".tif", ".tiff"})
KINDS = "PNG, JPEG, WebP, BMP, GIF or TIFF"
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # their first bytes
SYSTEM = frozenset(
    {"__MACOSX", "@eaDir", "#recycle", "#snapshot", "@Recycle", "@Recently-Snapshot", "lost+found"}
    | {"$RECYCLE.BIN", "System Volume Information", "__pycache__"}
)
RECORDS = {  # files that mark our folders, and keys that each of them has
    "status.json": {"status", "step"},
    "sweep.json": {"version", "jobs"},
    "study.json": {"place"},
}
LARGEST_RECORD = 64 << 20  # bytes; a longer file is not read


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


@dataclass(frozen=True)
class Listing:
    """The images of a folder."""

    entries: list[Entry]  # in the order of their paths
    ours: list[str]  # skipped folders of this program, relative to the root


@dataclass
class _Walk:
    """One walk through a folder."""

    outputs: set[tuple[int, int]]  # identities of folders that this program writes to
    above: Sequence[Path]  # the folders that hold the root
    seen: set[tuple[int, int]] = field(default_factory=set)
    ours: list[str] = field(default_factory=list)


def scan(root: Path, outputs: Sequence[str | Path] = (), key: str = "data.root = ") -> Listing:
    """List the image files below `root`, which itself may have any name.

    Args:
        root: the folder.
        outputs: folders that this program writes to; those below `root` are skipped.
        key: what messages put before the folder: the setting that names it.

    Raises:
        DataError: there is no such folder, it cannot be read, or it holds no image.
    """
    if not root.is_dir():
        what = "a file, not a folder" if root.exists() else "no such folder"
        raise DataError(f"{key}{root}: {what}; a folder of images is needed")
    written = {known for known in map(_identity, outputs) if known is not None}
    walk = _Walk(written, root.resolve().parents)
    try:
        entries = sorted(_walk(root, "", walk), key=lambda entry: entry.path)
    except OSError as cause:
        raise DataError(
            f"{key}{root}: {cause.filename}: cannot be read: {cause.strerror}"
        ) from cause
    if not entries:
        beside = f" except what this program wrote ({shown(walk.ours)})" if walk.ours else ""
        raise DataError(f"{key}{root}: holds no images{beside}; {KINDS} files are needed")
    return Listing(entries, walk.ours)


def shown(names: Sequence[str], most: int = 3) -> str:
    """The first of many names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(printable, names[:most])) + more


def printable(path: str) -> str:
    """A path on one line: line breaks and bytes that are no text are written as escapes."""
    text = os.fsencode(path).decode(errors="backslashreplace")
    return "".join(c if c >= " " else c.encode("unicode_escape").decode("ascii") for c in text)


def _identity(folder: str | Path) -> tuple[int, int] | None:
    try:
        found = user_path(folder).stat()
    except OSError:
        return None  # it does not exist yet
    return found.st_dev, found.st_ino


def _walk(folder: Path, prefix: str, walk: _Walk) -> Iterator[Entry]:
    found = folder.stat()
    identity = (found.st_dev, found.st_ino)
    if identity in walk.seen:
        return
    walk.seen.add(identity)
    with os.scandir(folder) as scanned:
        children = sorted(scanned, key=lambda child: child.name)
    if prefix and (identity in walk.outputs or any(map(_is_record, children))):
        walk.ours.append(prefix.removesuffix("/"))
        return
    for child in children:
        if child.name.startswith(".") or child.name in SYSTEM:
            continue
        if _check(child.is_dir):
            if child.is_symlink() and Path(child.path).resolve() in walk.above:
                raise DataError(
                    f"{folder / printable(child.name)}: is a link to a folder that holds the "
                    "images' own; remove it"
                )
            yield from _walk(Path(child.path), f"{prefix}{child.name}/", walk)
        elif _is_image(child):
            yield _entry(child, prefix)


def _check(test: Callable[[], bool]) -> bool:
    """The result of `is_dir` or `is_file`; False for a link to itself, where both fail."""
    try:
        return test()
    except OSError:
        return False


def _is_record(child: os.DirEntry[str]) -> bool:
    """Whether a file is the status of a run, the index of a sweep, or the plan of a study."""
    if child.name not in RECORDS or not _check(child.is_file):
        return False
    try:
        if child.stat().st_size > LARGEST_RECORD:
            return False
        found = json.loads(Path(child.path).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and RECORDS[child.name] <= found.keys()


def _entry(child: os.DirEntry[str], prefix: str) -> Entry:
    try:
        found = child.stat()
    except OSError:  # a link to nothing or to itself: kept, and reported as broken
        return Entry(prefix + child.name, -1, -1)
    return Entry(prefix + child.name, found.st_size, found.st_mtime_ns)


def _is_image(child: os.DirEntry[str]) -> bool:
    suffix = os.path.splitext(child.name)[1].lower()  # noqa: PTH122
    if suffix in IMAGES or suffix in OTHERS:
        return True
    if suffix in TEXTS or not _check(child.is_file):
        return False
    try:
        start = read_file(child.path, 16)
    except OSError:
        return False  # cannot be recognised as an image
    return is_readable_format(start)


def read_file(path: str | Path, most: int) -> bytes:
    """A regular file, or the first `most` bytes of a longer one.

    Raises:
        OSError: it cannot be read, or is not a regular file: reading a pipe could block for ever.
    """
    # The open file is checked, as a pipe may have replaced it since it was listed.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb") as file:  # noqa: PTH123
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(0, "not a regular file")
        return file.read(most)


def is_readable_format(start: bytes) -> bool:
    """Whether a file that begins with these 16 bytes is an image of one of the `KINDS`."""
    png, jpeg = start.startswith(b"\x89PNG\r\n\x1a\n"), start.startswith(b"\xff\xd8\xff")
    webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    bmp = start[:2] == b"BM" and start[6:10] == bytes(4)
    gif = start[:6] in (b"GIF87a", b"GIF89a")
    tiff = start[:4] in TIFF_STARTS
    return png or jpeg or webp or bmp or gif or tiff
