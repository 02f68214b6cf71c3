"""Published sets in MNIST's form: images and labels in idx files, for training and testing."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from gan_cli.data.download import Remote
from gan_cli.data.idx import parse_idx
from gan_cli.data.official import Member, Published
from gan_cli.data.splits import joined, parts
from gan_cli.errors import DataError

SIDE = 28
CLASSES = 10


def member(
    name: str, mirrors: tuple[str, ...], size: int, packed_sha256: str, sha256: str = ""
) -> Member:
    """One idx file, which every mirror (a folder's address) holds as `<name>.gz`."""
    urls = tuple(f"{mirror}{name}.gz" for mirror in mirrors)
    return Member(name, Remote(f"{name}.gz", size, packed_sha256, urls), sha256)


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
