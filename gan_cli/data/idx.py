"""The idx format of MNIST, unsigned bytes raw or gzip, and the published sets in MNIST's form."""

from __future__ import annotations

import math
import struct
from abc import ABC
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from gan_cli.data.dataset import Dataset
from gan_cli.data.published import Member, Published, Remote, joined, parts, read_content
from gan_cli.data.resize import Size, resized
from gan_cli.errors import DataError

UBYTE = 8  # idx's code for unsigned bytes
MOST = 8  # dimensions of a table
SIDE = 28
CLASSES = 10
PREFIX = {"train": "train", "test": "t10k"}  # of the files of each split


def parse_idx(content: bytearray, path: Path) -> Tensor:
    """Parse an idx file: its table, uint8, of the shape in its header.

    The tensor shares the memory of `content`. `path` is named in errors.

    Raises:
        DataError: not idx, not of unsigned bytes, or not of the length in its header.
    """
    zeros, kind, dimensions = struct.unpack(">HBB", content[:4].ljust(4, b"\xff"))
    header = 4 + 4 * dimensions
    if zeros or kind != UBYTE or not 1 <= dimensions <= MOST or len(content) < header:
        raise DataError(f"{path}: not an idx file of unsigned bytes")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if len(content) - header != math.prod(shape):
        raise DataError(
            f"{path}: {len(content) - header:,} bytes of data, but its header states "
            f"{' x '.join(map(str, shape))}; get it again"
        )
    if not math.prod(shape):
        raise DataError(f"{path}: is empty (its header states {' x '.join(map(str, shape))})")
    return torch.frombuffer(content, dtype=torch.uint8, offset=header).view(shape)


def read_idx(path: Path) -> Tensor:
    """The table in the idx file `path`, raw or gzip."""
    return parse_idx(read_content(path), path)


class IdxSet(Dataset, ABC):
    """A published set in MNIST's form: 60,000 images 28x28 in `train`, 10,000 in `test`.

    Args:
        split: train, test or all.
        root: folder with the idx files, raw or .gz; None: the cache, then the official mirrors.
        size: a number or [height, width]; None leaves 28x28.
    """

    published: Published
    names: tuple[str, ...]  # of the classes

    def __init__(self, split: str = "train", root: str | None = None, size: Size = None) -> None:
        images, labels = load(self.published, split, root)
        super().__init__(self.published.name, resized(images, size), labels, self.names)


def published_idx(
    name: str, mirrors: tuple[str, ...], home: str, files: Mapping[str, tuple[int, str, str]]
) -> Published:
    """Describe a set of idx files, each on every mirror as `<name>.gz`.

    Args:
        name: of the set.
        mirrors: addresses of folders, each with a slash at its end.
        home: torchvision's folder of the files, below data.root.
        files: by name, images before labels: the size in bytes and the sha256 of the .gz file, and
            the sha256 of the file in it, empty where unknown.
    """

    def member(file: str, size: int, packed_sha256: str, sha256: str) -> Member:
        urls = tuple(f"{mirror}{file}.gz" for mirror in mirrors)
        return Member(file, Remote(f"{file}.gz", size, packed_sha256, urls), sha256)

    members = {
        split: tuple(
            member(file, *known) for file, known in files.items() if file.startswith(start)
        )
        for split, start in PREFIX.items()
    }
    return Published(name, members, homes=("raw", home))


def load(published: Published, split: str, root: str | None) -> tuple[Tensor, Tensor]:
    """Images uint8 [N, 1, 28, 28] and labels int64 [N] of `split`.

    Raises:
        ConfigError: there is no such split.
        DataError: the files are missing or not what they should be.
    """
    tables = []
    for part in parts(split):
        (images_path, images), (labels_path, labels) = published.contents(part, root)
        tables.append(paired(images_path, images, labels_path, labels))
    return joined(tables)


def paired(
    images_path: Path, images_content: bytearray, labels_path: Path, labels_content: bytearray
) -> tuple[Tensor, Tensor]:
    """The two tables of a part, uint8 [N, 1, 28, 28] and [N], checked against each other."""
    images = parse_idx(images_content, images_path)
    labels = parse_idx(labels_content, labels_path)
    if images.shape[1:] != (SIDE, SIDE):
        raise DataError(f"{images_path}: holds {_shape(images)}, not images of {SIDE} x {SIDE}")
    if labels.shape != images.shape[:1] or int(labels.max()) >= CLASSES:
        raise DataError(
            f"{labels_path}: holds {_shape(labels)}, not {len(images):,} labels of 0 to 9"
        )
    return images.unsqueeze(1), labels


def _shape(table: Tensor) -> str:
    return " x ".join(map(str, table.shape))
