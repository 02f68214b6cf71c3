"""The networks of PyTorch-GAN's scripts `dcgan`, `wgan` and `cgan`, for comparisons of speed."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gan_cli.model import DataSpec
from gan_cli.networks.family import Discriminator, Generator, NetworkFamily
from gan_cli.networks.resize import UpsampledConv2d


class UpsamplingGenerator(Generator):
    """A dense layer of 128 maps, two upsamplings with 3x3 convolutions, one more to the image."""

    def __init__(self, inputs: int, data: DataSpec, fused: bool) -> None:
        super().__init__(inputs)
        channels, height, width = data.shape
        small = (height // 4, width // 4)
        self.layers = nn.Sequential(
            nn.Linear(inputs, 128 * small[0] * small[1]),
            nn.Unflatten(1, (128, *small)),
            nn.BatchNorm2d(128),
            UpsampledConv2d(128, 128, (height // 2, width // 2), True, fused),
            nn.BatchNorm2d(128),
            nn.LeakyReLU(0.2, inplace=True),
            UpsampledConv2d(128, 64, (height, width), True, fused),
            nn.BatchNorm2d(64),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(64, channels, 3, 1, 1),
        )

    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.layers(z)


class DroppingDiscriminator(Discriminator):
    """Convolutions 3x3 with stride 2, 16 to 128 channels, dropout of maps, batch norm."""

    def __init__(self, data: DataSpec) -> None:
        super().__init__()
        channels, height, width = data.shape
        layers: list[nn.Module] = []
        for before, after in ((channels, 16), (16, 32), (32, 64), (64, 128)):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
            layers.append(nn.Dropout2d(0.25))
            if before != channels:
                layers.append(nn.BatchNorm2d(after))
        self.trunk = nn.Sequential(*layers, nn.Flatten())
        self.build_head(128 * math.ceil(height / 16) * math.ceil(width / 16), 0)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.trunk(x)


class PyTorchGAN(NetworkFamily):
    """Those of `dcgan`; `fused=False` upsamples first and convolves then, as the script does."""

    def __init__(self, fused: bool = True) -> None:
        self.fused = fused

    @property
    def mixes_samples(self) -> bool:
        return True

    def generator(self, inputs: int, data: DataSpec, classes: int = 0) -> Generator:
        return UpsamplingGenerator(inputs, data, self.fused)

    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        return DroppingDiscriminator(data)


class DenseGenerator(Generator):
    """128, 256, 512 and 1024 units; batch norm from the second layer on."""

    def __init__(self, inputs: int, data: DataSpec, classes: int) -> None:
        super().__init__(inputs, classes)
        self.shape = data.shape
        layers: list[nn.Module] = [nn.Linear(inputs + classes, 128), nn.LeakyReLU(0.2, True)]
        for before, after in ((128, 256), (256, 512), (512, 1024)):
            layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.LeakyReLU(0.2, True)]
        self.layers = nn.Sequential(*layers, nn.Linear(1024, math.prod(data.shape)))

    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.layers(self.conditioned(z, y)).view(-1, *self.shape)


class DenseDiscriminator(Discriminator):
    """512 and 256 units; with classes three layers of 512 and dropout, labels beside the image."""

    joint = True

    def __init__(self, data: DataSpec, classes: int) -> None:
        super().__init__()
        self.classes = classes
        inputs = math.prod(data.shape) + classes
        layers: list[nn.Module] = [nn.Linear(inputs, 512), nn.LeakyReLU(0.2, True)]
        if classes:
            for _ in range(2):
                layers += [nn.Linear(512, 512), nn.Dropout(0.4), nn.LeakyReLU(0.2, True)]
        else:
            layers += [nn.Linear(512, 256), nn.LeakyReLU(0.2, True)]
        self.trunk = nn.Sequential(*layers)
        self.build_head(512 if classes else 256, 0)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        flat = x.flatten(1)
        if y is not None:
            flat = torch.cat([flat, one_hot(y, self.classes).to(flat.dtype)], dim=1)
        return self.trunk(flat)


class PyTorchMLP(NetworkFamily):
    """Those of `wgan`, and with classes those of `cgan`."""

    def generator(self, inputs: int, data: DataSpec, classes: int = 0) -> Generator:
        return DenseGenerator(inputs, data, classes)

    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        return DenseDiscriminator(data, classes)
