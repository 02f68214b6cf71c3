"""What GAN scripts use of torchvision, for benchmarks where it is not installed.

Datasets, transforms and `save_image` do per image what torchvision's do, with PIL.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

Step = Callable[[Any], Any]


class Compose:
    """One transform after the other."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps

    def __call__(self, image: Any) -> Any:
        for step in self.steps:
            image = step(image)
        return image


class Resize:
    """The shorter side to `size` pixels, bilinear."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, image: Image.Image) -> Image.Image:
        scale = self.size / min(image.size)
        width, height = (round(scale * side) for side in image.size)
        return image.resize((width, height), Image.Resampling.BILINEAR)


class ToTensor:
    """[C, H, W] in [0, 1]."""

    def __call__(self, image: Image.Image) -> Tensor:
        values = torch.from_numpy(np.array(image))
        values = values[None] if values.ndim == 2 else values.permute(2, 0, 1).contiguous()
        return values.float().div(255)


class Normalize:
    """Less the mean, over the deviation, of each channel."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean, self.std = mean, std

    def __call__(self, image: Tensor) -> Tensor:
        mean, std = torch.as_tensor(self.mean), torch.as_tensor(self.std)
        return image.clone().sub_(mean[:, None, None]).div_(std[:, None, None])


class MNIST(Dataset[tuple[Any, int]]):
    """Our MNIST, as PIL images."""

    def __init__(
        self, root: str, train: bool = True, transform: Step | None = None, download: bool = False
    ) -> None:
        from gan_cli.data import mnist

        found = mnist.MNIST("train" if train else "test")
        assert found.targets is not None
        self.images, self.labels = found.values[:, 0].numpy(), found.targets.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        image: Any = Image.fromarray(self.images[index])
        return self.transform(image) if self.transform else image, self.labels[index]


def save_image(images: Tensor, path: str, nrow: int = 8, normalize: bool = False) -> None:
    """A grid of images [n, C, H, W]."""
    images = images.detach().float()
    if normalize:
        images = (images - images.min()) / (images.max() - images.min()).clamp_min(1e-5)
    count, channels, height, width = images.shape
    rows = math.ceil(count / nrow)
    grid = torch.zeros(channels, rows * height, nrow * width)
    for place, image in enumerate(images):
        top, left = place // nrow * height, place % nrow * width
        grid[:, top : top + height, left : left + width] = image
    values = grid.mul(255).add(0.5).clamp(0, 255).byte()
    Image.fromarray((values[0] if channels == 1 else values.permute(1, 2, 0)).numpy()).save(path)


def _submodule(name: str, *members: Any) -> ModuleType:
    module = ModuleType(f"{__name__}.{name}")
    for member in members:
        setattr(module, member.__name__, member)
    sys.modules[module.__name__] = module
    return module


__path__: list[str] = []
transforms = _submodule("transforms", Compose, Resize, ToTensor, Normalize)
datasets = _submodule("datasets", MNIST)
utils = _submodule("utils", save_image)
