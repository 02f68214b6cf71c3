"""Images at their own size, made by any program: a folder of files, or an array in an NPZ file.

Both are data sets that are read by index and never held in memory as a whole.
"""

from __future__ import annotations

import hashlib
import struct
import tempfile
import zipfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from gan_cli.console import progress_bar
from gan_cli.data.dataset import Dataset
from gan_cli.data.decode import Inspected, decode, inspect, silenced
from gan_cli.data.folder import by_reason
from gan_cli.data.folder_cache import on_threads
from gan_cli.data.folder_labels import classify, labels_from, ordered
from gan_cli.data.scan import TIFFS, Entry, scan
from gan_cli.device import cores
from gan_cli.errors import DataError

LABELS = "labels.csv"  # of a folder without sub-folders: gan-sample writes it
PIECE = 1 << 24  # bytes that are hashed at once


class ImageFiles(Dataset):
    """The images below a folder, which have one size; each is decoded whenever it is read.

    Their classes are the sub-folders, or those in a file labels.csv, where there is one.

    Args:
        root: the folder.

    Raises:
        DataError: there is no image, some cannot be read, or they have several sizes.
    """

    def __init__(self, root: Path) -> None:
        self.root, self._entries = root, scan(root, key="").entries
        with silenced(self._tiffs), progress_bar(f"reading {root.name}", len(self)) as advance:
            self._looks: list[Inspected] = []
            for look in on_threads(inspect, (root / one.path for one in self._entries), cores()):
                self._looks.append(look)
                advance(1)
        broken = [(entry, look.broken) for entry, look in self._known if look.broken]
        if broken:
            raise _broken(root, [(entry.path, why) for entry, why in broken], len(self))
        self._size = _one_size(root, self._known)
        channels = max(look.channels for look in self._looks)
        paths = [entry.path for entry in self._entries]
        numbers, names = _labels(root, paths)
        super().__init__(
            root.resolve().name,
            torch.zeros(1, dtype=torch.uint8).expand(len(paths), channels, *self._size),
            None if numbers is None else torch.tensor(numbers),
            names,
        )

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def resident(self) -> bool:
        """False: the table has a shape alone."""
        return False

    def to(self, device: torch.device | str) -> Dataset:
        """Deliver batches on `device`."""
        self.device = torch.device(device)
        return self

    @property
    def _known(self) -> Sequence[tuple[Entry, Inspected]]:
        return list(zip(self._entries, self._looks, strict=True))

    @property
    def _tiffs(self) -> bool:
        return any(entry.suffix in TIFFS for entry in self._entries)

    def fetch(self, index: Tensor, out: Tensor) -> None:
        """Decode the images at `index` into `out`.

        Raises:
            DataError: one cannot be decoded, or has changed.
        """
        places, channels = index.tolist(), self.spec.shape[0]
        jobs = ((self.root / self._entries[i].path, self._looks[i].sha256) for i in places)
        with silenced(self._tiffs):
            decoded = on_threads(lambda job: decode(*job, self._size, channels), jobs, cores())
            for place, row, image in zip(places, out, decoded, strict=True):
                if image.broken:
                    raise _broken(self.root, [(self._entries[place].path, image.broken)], len(self))
                row.copy_(torch.frombuffer(bytearray(image.pixels), dtype=torch.uint8).view_as(row))

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 of the files' contents in their order, and of the labels."""
        found = hashlib.sha256(f"files {list(self.spec.shape)}".encode())
        for look in self._looks:
            found.update(look.sha256.encode())
        if self.targets is not None:
            found.update(self.targets.cpu().numpy().data)
        return found.hexdigest()


def _broken(root: Path, broken: Sequence[tuple[str, str]], count: int) -> DataError:
    listed = "\n".join(by_reason(broken))
    return DataError(
        f"{root}: {len(broken):,} of {count:,} images cannot be read; repair or delete them:\n"
        f"{listed}"
    )


def _one_size(root: Path, known: Sequence[tuple[Entry, Inspected]]) -> tuple[int, int]:
    first, look = known[0]
    for entry, other in known:
        if other.size != look.size:
            height, width = other.size
            raise DataError(
                f"{root}: images of several sizes ({first.path} is {look.size[0]}x{look.size[1]}, "
                f"{entry.path} {height}x{width}); metrics depend on how they are resized, so make "
                "them one size first"
            )
    return look.size


def _labels(root: Path, paths: Sequence[str]) -> tuple[list[int] | None, tuple[str, ...]]:
    """The class of each image and the names of the classes, where there are any."""
    if all("/" in path for path in paths):
        return classify(root, paths)
    if not (root / LABELS).is_file():
        return None, ()
    by_path = labels_from(root, LABELS, paths, paths)
    names = ordered(set(by_path.values()))
    number = {name: index for index, name in enumerate(names)}
    return [number[by_path[path]] for path in paths], tuple(names)


class ImageArray(Dataset):
    """An array of images in an NPZ file, mapped into memory.

    The images are uint8 [N, H, W, C], [N, C, H, W] or [N, H, W], under the name arr_0 (as ADM's
    and EDM's programs write them), images or samples; labels, integers [N], under arr_1 or labels.

    Args:
        path: the file.

    Raises:
        DataError: it cannot be read, or holds no images.
    """

    def __init__(self, path: Path) -> None:
        names = arrays(path)
        images = _images(path, next((n for n in ("arr_0", "images", "samples") if n in names), ""))
        labels = None
        if name := next((name for name in ("arr_1", "labels") if name in names), ""):
            found = mapped(path, name)
            if found.shape != (len(images),) or found.dtype.kind not in "iu" or found.min() < 0:
                raise DataError(f"{path}: {name}: one class for each image, from 0 on, is needed")
            labels = torch.from_numpy(found.astype(np.int64))
        classes = 0 if labels is None else int(labels.max()) + 1
        super().__init__(path.stem, images, labels, tuple(map(str, range(classes))))

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 of the images in their order, and of the labels."""
        found = hashlib.sha256(f"array {list(self.spec.shape)}".encode())
        rows = max(1, PIECE // self.values[0].numel())
        for piece in self.values.split(rows):
            found.update(piece.contiguous().numpy().data)
        if self.targets is not None:
            found.update(self.targets.numpy().data)
        return found.hexdigest()


def arrays(path: Path) -> list[str]:
    """The names of the arrays in an NPZ file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception as cause:  # foreign bytes can fail in any way
        raise DataError(f"{path}: is not an NPZ file: {cause}") from cause
    return [name.removesuffix(".npy") for name in names if name.endswith(".npy")]


def _images(path: Path, name: str) -> Tensor:
    """The images [N, C, H, W] under `name`."""
    found: np.ndarray = mapped(path, name) if name else np.empty(0)
    if found.dtype == np.uint8 and found.ndim == 3:
        found = found[..., None]
    if not name or found.dtype != np.uint8 or found.ndim != 4 or not found.size:
        held = f"{name} of type {found.dtype} and shape {list(found.shape)}" if name else "no array"
        raise DataError(
            f"{path}: holds {held}; images are needed, uint8 [N, H, W, C], under arr_0, images or "
            f"samples"
        )
    if found.shape[3] in (1, 3):
        found = found.transpose(0, 3, 1, 2)
    elif found.shape[1] not in (1, 3):
        raise DataError(f"{path}: images of shape {list(found.shape[1:])}: 1 or 3 channels needed")
    return torch.from_numpy(found)


def mapped(path: Path, name: str) -> np.ndarray:
    """An array of an NPZ file, mapped into memory, copy-on-write.

    One that is compressed is unpacked into a temporary file first.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(f"{name}.npy")
            if info.compress_type != zipfile.ZIP_STORED:
                with archive.open(info) as member, tempfile.TemporaryFile() as file:
                    with progress_bar(f"unpacking {path.name}", info.file_size, True) as advance:
                        while piece := member.read(PIECE):
                            file.write(piece)
                            advance(len(piece))
                    return _mapped(file, 0)
        with path.open("rb") as file:
            file.seek(info.header_offset + 26)
            lengths = struct.unpack("<HH", file.read(4))  # of the name and of the extra field
            return _mapped(file, info.header_offset + 30 + sum(lengths))
    except Exception as cause:  # foreign bytes can fail in any way
        reason = " ".join(str(cause).split())[:200]
        raise DataError(f"{path}: {name} cannot be read: {reason}") from cause


def _mapped(file: IO[bytes], start: int) -> np.ndarray:
    """The array whose .npy content begins at `start`."""
    file.seek(start)
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    if not all(shape):
        return np.empty(shape, dtype)
    order = "F" if fortran else "C"
    return np.memmap(file, dtype, "c", file.tell(), shape, order)
