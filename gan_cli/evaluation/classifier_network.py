"""The small convolutional network that learns a data set's own classes."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 128  # of the penultimate layer
LONGEST = 32  # pixels of a side; longer ones are shrunk
CHANNELS = (32, 64, 128)  # after each layer, which halves the sides
CHANNELS_LAST = ("cpu", "cuda")  # kinds of devices that compute faster so
RESIZE = f"images with a side above {LONGEST} shrunk to it, by area; others left as they are"


class ClassifierNetwork(nn.Module):
    """Three strided convolutions and two linear layers, with batch norm before each ReLU.

    Args:
        shape: of the images, (channels, height, width).
        classes: how many there are.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        channels, *size = shape
        self.size = shrunk(*size)
        steps = pairwise((channels, *CHANNELS))
        self.trunk = nn.Sequential(*(_layer(before, after) for before, after in steps))
        height, width = self.size
        for _ in CHANNELS:
            height, width = (height + 1) // 2, (width + 1) // 2
        self.penultimate = nn.Sequential(
            nn.Flatten(),
            nn.Linear(CHANNELS[-1] * height * width, WIDTH, bias=False),
            nn.BatchNorm1d(WIDTH),
            nn.ReLU(inplace=True),
        )
        self.last = nn.Linear(WIDTH, classes)
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("deviation", torch.ones(channels, 1, 1))

    def placed(self, device: torch.device) -> ClassifierNetwork:
        """Itself, on `device`, laid out as that likes it."""
        self.to(device)
        if device.type in CHANNELS_LAST:
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    @torch.no_grad()
    def standardise(self, images: Tensor) -> None:
        """Take each channel's mean and deviation over images [n, C, H, W] for those of the data."""
        self.mean.copy_(images.mean((0, 2, 3))[:, None, None])
        # A channel that never changes is left as it is.
        deviation = images.std((0, 2, 3), correction=0)[:, None, None]
        self.deviation.copy_(torch.where(deviation > 0, deviation, 1))

    def features(self, images: Tensor) -> Tensor:
        """The penultimate layer [n, 128] on images [n, C, H, W] in [-1, 1]."""
        if images.shape[-2:] != self.size:
            images = F.interpolate(images, self.size, mode="area")
        x = (images - self.mean) / self.deviation
        if x.device.type in CHANNELS_LAST:
            x = x.contiguous(memory_format=torch.channels_last)
        return self.penultimate(self.trunk(x))

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n, classes] of images [n, C, H, W] in [-1, 1]."""
        return self.last(self.features(images))


def _layer(before: int, after: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


def shrunk(height: int, width: int) -> tuple[int, int]:
    """The size to work at, of the same proportions."""
    factor = min(1.0, LONGEST / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))
