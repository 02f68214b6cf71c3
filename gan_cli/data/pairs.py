"""Data for image-to-image translation: pairs, unpaired sets, and inputs derived from images."""

from __future__ import annotations

import hashlib
from abc import ABC
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from gan_cli.data.dataset import Dataset
from gan_cli.data.decode import HALVES, upright_size
from gan_cli.data.folder import Folder
from gan_cli.data.resize import Size, parse_size
from gan_cli.data.scan import shown
from gan_cli.errors import ConfigError, DataError
from gan_cli.formatting import user_path

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)
EDGE = 1.0  # twice the least slope of an edge, by Sobel's operator, of images in [-1, 1]
LOOKED_AT = 2000  # images whose sizes are compared
KINDS = ("edges", "grey", "half", "hole", "low")


class TwoTables(Dataset, ABC):
    """Inputs and targets in tables of their own; abstract.

    Args:
        name: of both.
        inputs: the inputs.
        target_images: the targets.
    """

    def __init__(self, name: str, inputs: Dataset, target_images: Dataset) -> None:
        super().__init__(name, target_images.values, rows=target_images.rows)
        self.inputs, self.target_images = inputs, target_images
        self.spec = replace(self.spec, source=inputs.spec.shape)

    @classmethod
    def comes_in_parts(cls, settings: Mapping[str, Any]) -> bool:
        root, part = user_path(settings["root"]), settings.get("source", "A")
        if part is None:
            return Folder.comes_in_parts({**settings, "classes": "none"})
        if (root / f"train{part}").is_dir() and not (root / part).is_dir():
            return (root / f"test{part}").is_dir()
        return Folder.comes_in_parts({"root": str(root / part), "classes": "none"})

    def to(self, device: torch.device | str) -> TwoTables:
        self.inputs.to(device)
        self.target_images.to(device)
        self.device = torch.device(device)
        self.values, self.rows = self.target_images.values, self.target_images.rows
        return self

    @property
    def resident(self) -> bool:
        return self.inputs.resident and self.target_images.resident


class Pairs(TwoTables):
    """Paired inputs and targets: two folders of equal file names, or one of images side by side.

    Args:
        root: the folder.
        source: sub-folder of the inputs, and ...
        target: ... of the targets; or both null: each image below `root` is two side by side, the
            left half the input (as in the data sets of pix2pix).
        split: train, test or all; null is train where the folders have such parts.
        size: a number or [height, width] of each image.
        channels: 1, 3 or "auto".
        reverse: exchange inputs and targets.
        outputs: folders that the program writes to, whose images are ignored.
    """

    def __init__(
        self,
        root: str,
        source: str | None = "A",
        target: str | None = "B",
        split: str | None = None,
        size: Size = 64,
        channels: int | str = "auto",
        reverse: bool = False,
        outputs: Sequence[str] = (),
    ) -> None:
        if (source is None) != (target is None):
            raise ConfigError("data.source, data.target: both are needed, or neither")
        shape = parse_size(size)
        if shape is None:
            raise ConfigError("data.size = null: a number or [height,width] is needed for folders")
        halves: tuple[Dataset, Dataset]
        if source is None or target is None:
            wide = (shape[0], 2 * shape[1])
            both = Folder(root, split, wide, channels, "none", crop=HALVES, outputs=outputs)
            _require_two_in_one(both)
            name, width = both.spec.name, shape[1]
            halves = _Half(both, slice(0, width)), _Half(both, slice(width, None))
        else:
            folder = user_path(root)
            names = (source, target, f"train{source}", f"test{source}")
            if folder.is_dir() and not any((folder / name).is_dir() for name in names):
                raise DataError(
                    f"data.root = {root}: has neither folder, {source} or {target}; data.source "
                    "and data.target name them, and data.source=null data.target=null takes images "
                    "with two side by side"
                )
            sides = [
                _side(root, part, split, shape, channels, outputs) for part in (source, target)
            ]
            _require_equal_names(*sides)
            _require_equal_proportions(*sides)
            name, halves = user_path(root).resolve().name, (sides[0], sides[1])
        super().__init__(name, *(halves[::-1] if reverse else halves))
        self.reverse = reverse

    def real(self, index: Tensor) -> Tensor:
        return self.target_images.real(index)

    def source(self, index: Tensor) -> Tensor:
        return self.inputs.real(index)

    @cached_property
    def fingerprint(self) -> str:
        return _joined(self.inputs.fingerprint, self.target_images.fingerprint, self.reverse)


class Unpaired(TwoTables):
    """Unpaired inputs and targets: two folders of images.

    The larger folder determines the number of samples; the smaller one's images repeat, in a fixed
    random order, so that targets are not paired with inputs of the same name.

    Args:
        root: the folder.
        source: sub-folder of the inputs; as in the data sets of CycleGAN, "A" also means the
            folders trainA and testA.
        target: of the targets.
        split: train, test or all; null is train where the folders have such parts.
        size: a number or [height, width] of each image.
        channels: 1, 3 or "auto".
        outputs: folders that the program writes to, whose images are ignored.
    """

    def __init__(
        self,
        root: str,
        source: str = "A",
        target: str = "B",
        split: str | None = None,
        size: Size = 64,
        channels: int | str = "auto",
        outputs: Sequence[str] = (),
    ) -> None:
        inputs, target_images = (
            _side(root, part, split, size, channels, outputs) for part in (source, target)
        )
        super().__init__(user_path(root).resolve().name, inputs, target_images)
        count = max(len(inputs), len(target_images))
        order = torch.randperm(count, generator=torch.Generator().manual_seed(count))
        self.order = order % len(inputs)
        self.spec = replace(self.spec, size=count, paired=False)

    def to(self, device: torch.device | str) -> Unpaired:
        self.order = self.order.to(device)
        super().to(device)
        return self

    def real(self, index: Tensor) -> Tensor:
        return self.target_images.real(index % len(self.target_images))

    def source(self, index: Tensor) -> Tensor:
        return self.inputs.real(self.order[index.to(self.order.device)])

    @property
    def distant(self) -> bool:
        return False  # the two tables are read at different indices

    @cached_property
    def fingerprint(self) -> str:
        return _joined(self.inputs.fingerprint, self.target_images.fingerprint)


class Derived(Dataset):
    """Any images as targets, and inputs derived from them.

    - "edges": white where the brightness changes steeply, by Sobel's operator; black elsewhere.
    - "grey": the brightness of a colour image.
    - "half": the image without its lower half, which is grey.
    - "hole": the image without the middle quarter of its area, which is grey.
    - "low": the image `factor` times smaller, by means over squares.

    Args:
        of: the images: mnist, fashion_mnist, kmnist, cifar10 or folder.
        input: the kind of input.
        factor: of "low", 2, 4 or 8.
        split: train, test or all.
        size: a number or [height, width]; null leaves their own size.
        root: where the images are, for data that has it.
        outputs: folders that the program writes to, whose images are ignored.
    """

    def __init__(
        self,
        of: str = "mnist",
        input: str = "edges",  # noqa: A002 - what users type
        factor: int = 4,
        split: str | None = "train",
        size: Size = None,
        root: str | None = None,
        outputs: Sequence[str] = (),
    ) -> None:
        if input not in KINDS:
            raise ConfigError(f"data.input = {input}: must be one of {', '.join(KINDS)}")
        if input == "low" and factor not in (2, 4, 8):
            raise ConfigError(f"data.factor = {factor}: must be 2, 4 or 8")
        images = _images(of, split, size, root, outputs)
        channels, height, width = images.spec.shape
        if input == "grey" and channels == 1:
            raise ConfigError(f"data.input = grey: {of} is grey already; use data.input=edges")
        if input == "low" and (height % factor or width % factor):
            near = [side - side % factor for side in (height, width)]
            raise ConfigError(
                f"data.factor = {factor}: the sides of images of {height}x{width} pixels are not "
                f"multiples of it; set data.size=[{near[0]},{near[1]}]"
            )
        super().__init__(
            f"{images.spec.name}_{input}",
            images.values,
            images.targets,
            images.spec.class_names,
            images.rows,
        )
        self.input, self.factor = input, factor
        example = self._derived(torch.zeros(1, *images.spec.shape))
        self.spec = replace(self.spec, source=tuple(example.shape[1:]))

    @classmethod
    def comes_in_parts(cls, settings: Mapping[str, Any]) -> bool:
        if settings.get("of", "mnist") != "folder":
            return True
        return Folder.comes_in_parts(settings)

    def source(self, index: Tensor) -> Tensor:
        return self._derived(self.real(index))

    def _derived(self, x: Tensor) -> Tensor:
        """The inputs of images [n, C, H, W] in [-1, 1]."""
        if self.input == "low":
            return avg_pool2d(x, self.factor)
        if self.input == "grey":
            return brightness(x)
        if self.input == "edges":
            return edges(x)
        inputs = x.clone()
        height, width = x.shape[2:]
        if self.input == "half":
            inputs[:, :, height - height // 2 :].zero_()
        else:
            top, left = height // 4, width // 4
            inputs[:, :, top : height - top, left : width - left].zero_()
        return inputs


def brightness(x: Tensor) -> Tensor:
    """Images [n, C, H, W] as grey ones, [n, 1, H, W]."""
    if x.shape[1] == 1:
        return x
    red, green, blue = x.split(1, dim=1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def edges(x: Tensor) -> Tensor:
    """White (1) at the edges of images [n, C, H, W], black (-1) elsewhere, [n, 1, H, W]."""
    x = pad(brightness(x), (1, 1, 1, 1), mode="replicate")  # then Sobel's differences
    across, down = x[..., 2:] - x[..., :-2], x[..., 2:, :] - x[..., :-2, :]
    across = (across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]) / 4
    down = (down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]) / 4
    steep = torch.hypot(across, down) > EDGE / 2
    return steep.to(x.dtype) * 2 - 1


class _Half(Dataset):
    """One half of images that hold two side by side."""

    def __init__(self, both: Folder, columns: slice) -> None:
        self.both = both
        super().__init__(both.spec.name, both.values[..., columns])
        self.columns = columns

    def to(self, device: torch.device | str) -> _Half:
        self.both.to(device)
        self.device, self.values = self.both.device, self.both.values[..., self.columns]
        return self

    def real(self, index: Tensor) -> Tensor:
        return self.both.real(index)[..., self.columns]

    @cached_property
    def fingerprint(self) -> str:
        return f"{self.both.fingerprint} {self.columns}"


def _side(
    root: str,
    part: str,
    split: str | None,
    size: Size,
    channels: int | str,
    outputs: Sequence[str],
) -> Folder:
    """A folder of inputs or of targets."""
    folder = user_path(root)
    if not (folder / part).is_dir() and (folder / f"train{part}").is_dir():
        if split == "all":
            raise ConfigError(f"data.split = all: {folder} has train{part} and test{part} apart")
        part, split = f"{split or 'train'}{part}", None
    return Folder(str(folder / part), split, size, channels, classes="none", outputs=outputs)


def _require_equal_names(inputs: Folder, target_images: Folder) -> None:
    """Check that each input has a target.

    Raises:
        DataError: some have none, or their orders differ.
    """
    ours, theirs = map(_stems, (inputs, target_images))
    alone = sorted(ours.keys() ^ theirs.keys())
    if alone:
        raise DataError(
            f"data.root: {len(alone):,} images have no partner of their name in the other folder "
            f"({shown(alone)}); pairs are needed, or use data=unpaired"
        )
    if list(ours) != list(theirs):
        raise DataError(
            "data.root: the names of inputs and targets are not in the same order "
            f"({shown(list(ours), 2)} and {shown(list(theirs), 2)}); give both the same endings"
        )


def _stems(folder: Folder) -> dict[str, None]:
    """The images' paths without the endings of their names, in order.

    Raises:
        DataError: two have the same, so that it is open which is whose partner.
    """
    stems = [str(PurePosixPath(path).with_suffix("")) for path in folder.paths]
    found = dict.fromkeys(stems)
    if len(found) < len(stems):
        twice = sorted(stem for stem, count in Counter(stems).items() if count > 1)
        raise DataError(
            f"{folder.root}: {len(twice):,} names stand for several images, which differ by their "
            f"endings alone ({shown(twice)}); keep one of each"
        )
    return found


def _require_equal_proportions(inputs: Folder, target_images: Folder) -> None:
    """Check that inputs and targets have the same proportions, so that both are cut alike.

    Raises:
        DataError: some pairs differ by a pixel or more, at the size of the smaller image.
    """
    pairs = zip(_sizes(inputs), _sizes(target_images), strict=True)
    differing = [
        f"{name} is {width}x{height} and {wide}x{high}"
        for (name, width, height), (_, wide, high) in pairs
        if abs(width * high - wide * height) >= max(width, height, wide, high)
    ]
    if differing:
        raise DataError(
            f"data.root: {len(differing):,} inputs have other proportions than their targets "
            f"({shown(differing)}); crop both alike"
        )


def _require_two_in_one(folder: Folder) -> None:
    """Check that images can be two side by side: wider than high, and of an even width.

    Raises:
        DataError: some are not.
    """
    sizes = list(_sizes(folder))
    narrow = [
        f"{name} is {width}x{height}" for name, width, height in sizes if width < 1.5 * height
    ]
    if narrow:
        raise DataError(
            f"data.root = {folder.root}: {len(narrow):,} images are not two images side by side "
            f"({shown(narrow)}); give the folders of inputs and targets by data.source and "
            "data.target"
        )
    odd = [f"{name} is {width}x{height}" for name, width, height in sizes if width % 2]
    if odd:
        raise DataError(
            f"data.root = {folder.root}: {len(odd):,} images have an odd width, so no two "
            f"equal halves ({shown(odd)}); cut or fill up a column"
        )


def _sizes(folder: Folder) -> Iterator[tuple[str, int, int]]:
    """Name, width and height of some images, evenly spaced, by their headers."""
    from PIL import Image

    for path in folder.paths[:: -(-len(folder.paths) // LOOKED_AT)]:
        with Image.open(folder.root / path) as image:
            height, width = upright_size(image)
        yield path, width, height


def _images(
    of: str, split: str | None, size: Size, root: str | None, outputs: Sequence[str]
) -> Dataset:
    """The data set called `of`."""
    from gan_cli.data.cifar10 import CIFAR10
    from gan_cli.data.fashion_mnist import FashionMNIST
    from gan_cli.data.kmnist import KMNIST
    from gan_cli.data.mnist import MNIST

    if of == "folder":
        if root is None:
            raise ConfigError("data.root = null: the folder of images is needed")
        side = 64 if size is None else size
        return Folder(root, split, side, classes="none", outputs=outputs)
    if of == "mnist":
        return MNIST(split or "train", size)
    known = {"fashion_mnist": FashionMNIST, "kmnist": KMNIST, "cifar10": CIFAR10}
    if of not in known:
        raise ConfigError(f"data.of = {of}: must be one of mnist, {', '.join(known)}, folder")
    return known[of](split or "train", root, size)


def _joined(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
