"""Stacked MNIST (Metz et al. 2017): colour images of 1000 countable modes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gan_cli.data.dataset import Dataset
from gan_cli.data.mnist import MNIST
from gan_cli.data.resize import Size
from gan_cli.errors import ConfigError

SEED = 0x57AC
CHANNELS = 3
CLASSES = 1000


class StackedMNIST(Dataset):
    """Colour images whose red, green and blue are three MNIST digits, drawn independently.

    The class is the number that the digits read as, 100 r + 10 g + b. Stacks are drawn once from a
    fixed seed, so every run sees the same ones. The table in memory is MNIST's own, and each batch
    is stacked from three indices per sample.

    Args:
        split: split of the digits: train, test or all (as in VEEGAN and PacGAN).
        stacks: number of samples; 128,000 in VEEGAN and PacGAN.
        size: a number or [height, width]; None leaves 28x28.
    """

    def __init__(self, split: str = "all", stacks: int = 128000, size: Size = None) -> None:
        if stacks < 1:
            raise ConfigError(f"data.stacks = {stacks}: at least 1 is needed")
        digits = MNIST(split, size)
        generator = torch.Generator().manual_seed(SEED)
        self.places = torch.randint(len(digits), (stacks, CHANNELS), generator=generator)
        super().__init__(
            "stacked_mnist",
            digits.values,
            read_as_number(digits.targets[self.places]) if digits.targets is not None else None,
            tuple(f"{number:03d}" for number in range(CLASSES)),
        )
        shape = (CHANNELS, *digits.spec.shape[1:])
        self.spec = replace(self.spec, shape=shape, size=stacks)

    def to(self, device: torch.device | str) -> StackedMNIST:
        """As for every data set; the indices move with the digits."""
        super().to(device)
        self.places = self.places.to(self.values.device)
        return self

    def _chosen(self, index: Tensor) -> Tensor:
        return super()._chosen(self.places[index].flatten()).view(-1, *self.spec.shape)

    def _tables(self) -> list[Tensor]:
        return [*super()._tables(), self.places]


def read_as_number(digits: Tensor) -> Tensor:
    """The class [n] of stacks whose channels show `digits` [n, 3]: 100 r + 10 g + b."""
    return 100 * digits[:, 0] + 10 * digits[:, 1] + digits[:, 2]
