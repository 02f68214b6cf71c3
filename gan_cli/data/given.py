"""Images that a command line names: files, and folders of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gan_cli.data.dataset import scaled
from gan_cli.data.decode import decode, inspect
from gan_cli.data.scan import printable, scan
from gan_cli.errors import DataError
from gan_cli.formatting import user_path


@dataclass(frozen=True)
class GivenImages:
    """Images of one size.

    Attributes:
        paths: the files that could be read.
        values: [n, C, H, W] in [-1, 1].
        broken: a line for each file that could not be read.
    """

    paths: tuple[Path, ...]
    values: Tensor
    broken: tuple[str, ...] = ()


def listed(names: Sequence[str]) -> Iterator[tuple[Path, Path]]:
    """Each image with its name below the folder that was named.

    Raises:
        DataError: there is no such file or folder, or a folder holds no image.
    """
    for name in names:
        path = user_path(name)
        if path.is_dir():
            for entry in scan(path).entries:
                yield path / entry.path, Path(entry.path)
        elif path.exists():
            yield path, Path(path.name)
        else:
            raise DataError(f"{name}: no such file or folder")


def resized(names: Sequence[str], shape: tuple[int, ...]) -> GivenImages:
    """The images, each cut at its centre to the aspect of `shape` = (C, H, W) and resized to it.

    Raises:
        DataError: there is no such file or folder, or no image can be read.
    """
    channels, height, width = shape
    paths, values, broken = [], [], []
    for path, _ in listed(names):
        look = inspect(path)
        made = None if look.broken else decode(path, look.sha256, (height, width), channels)
        if made is None or made.broken:
            broken.append(f"{printable(str(path))}: {look.broken if made is None else made.broken}")
            continue
        paths.append(path)
        values.append(torch.frombuffer(bytearray(made.pixels), dtype=torch.uint8).view(shape))
    if not values:
        raise DataError("\n".join(broken))
    return GivenImages(tuple(paths), scaled(torch.stack(values)), tuple(broken))
