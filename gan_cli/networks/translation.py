"""Networks from image to image, and discriminators of patches."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, interpolate, pad

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.networks.family import Discriminator, Options, dcgan_init

MOST = 8  # channels grow to at most this many times `width`
Shape = tuple[int, ...]  # (channels, height, width)
Kind = Literal["batch", "instance", "none"]


class Translator(nn.Module, ABC):
    """Images [n, *source] to images [n, *target] in [-1, 1], of any size that fits.

    Args:
        factor: how many times larger the outputs' sides are.
        multiple: sides of inputs are filled up to multiples of it, by reflection, and the outputs
            cut to what they would have been.
        least: what shorter sides are filled up to.
    """

    def __init__(self, factor: int = 1, multiple: int = 1, least: int = 1) -> None:
        super().__init__()
        self.factor, self.multiple, self.least = factor, multiple, least

    @abstractmethod
    def raw(self, x: Tensor) -> Tensor:
        """The outputs before the last tanh, of inputs whose sides are multiples of `multiple`."""

    def forward(self, x: Tensor) -> Tensor:
        """Translate."""
        height, width = x.shape[2:]
        missing = [max(-side % self.multiple, self.least - side) for side in (height, width)]
        if any(missing):
            how = "reflect" if missing[0] < height and missing[1] < width else "replicate"
            x = pad(x, (0, missing[1], 0, missing[0]), mode=how)
        found = self.raw(x).tanh()
        return found[:, :, : height * self.factor, : width * self.factor]


class UNet(Translator):
    """Convolutions down to one pixel and up again, each level beside its counterpart.

    Isola et al. 2017, section 6.1.1: 4x4 with stride 2, batch norm but on the first and the
    innermost, LeakyReLU .2 on the way down and ReLU up, dropout on the three innermost levels on
    the way up, where it is the generator's noise and so stays on when samples are drawn.

    Args:
        source: shape of the inputs.
        target: channels of the outputs.
        width: channels of the outermost level.
        depth: levels.
        rate: of the dropout.
        norm: "batch", "instance" or "none".
        skips: false leaves the counterparts out (an encoder and decoder).
    """

    def __init__(
        self,
        source: Shape,
        target: int,
        width: int,
        depth: int,
        rate: float,
        norm: str = "batch",
        skips: bool = True,
    ) -> None:
        super().__init__(multiple=2**depth)
        self.rate, self.skips = rate, skips
        channels = [width * min(2**level, MOST) for level in range(depth)]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        before = source[0]
        for level, after in enumerate(channels):
            plain = level in (0, depth - 1)
            layers: list[nn.Module] = [] if level == 0 else [nn.LeakyReLU(0.2)]
            layers.append(nn.Conv2d(before, after, 4, 2, 1, bias=norm != "batch"))
            self.down.append(nn.Sequential(*layers, *([] if plain else [normal(norm, after)])))
            before = after
        for level in reversed(range(depth)):
            given = channels[level] * (2 if skips and level < depth - 1 else 1)
            after = channels[level - 1] if level else target
            layers = [
                nn.ReLU(),
                nn.ConvTranspose2d(given, after, 4, 2, 1, bias=not level or norm != "batch"),
            ]
            self.up.append(nn.Sequential(*layers, *([normal(norm, after)] if level else [])))
        dcgan_init(self)

    def raw(self, x: Tensor) -> Tensor:
        maps = []
        for layer in self.down:
            x = layer(x)
            maps.append(x)
        for place, layer in enumerate(self.up):
            if place and self.skips:
                x = torch.cat([x, maps[-1 - place]], dim=1)
            x = layer(x)
            if place < min(3, len(self.up) - 1) and self.rate:
                x = dropout(x, self.rate, training=True)
        return x


class Residual(nn.Module):
    """x + f(x), with two convolutions 3x3 in f."""

    def __init__(self, channels: int, norm: str, first: nn.Module) -> None:
        super().__init__()
        bias = norm != "batch"
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=bias),
            normal(norm, channels),
            first,
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=bias),
            normal(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class ResNetTranslator(Translator):
    """Twice half the size, residual blocks, and back (Johnson et al. 2016; Zhu et al. 2017)."""

    def __init__(self, source: Shape, target: int, width: int, blocks: int, norm: str) -> None:
        super().__init__(multiple=4, least=8)  # two cells in the middle, which reflection needs
        bias = norm != "batch"
        layers: list[nn.Module] = [
            nn.Conv2d(source[0], width, 7, padding=3, padding_mode="reflect", bias=bias),
            normal(norm, width),
            nn.ReLU(),
        ]
        for before in (width, 2 * width):
            half = nn.Conv2d(before, 2 * before, 3, 2, 1, bias=bias)
            layers += [half, normal(norm, 2 * before), nn.ReLU()]
        layers += [Residual(4 * width, norm, nn.ReLU()) for _ in range(blocks)]
        for before in (4 * width, 2 * width):
            twice = nn.ConvTranspose2d(before, before // 2, 3, 2, 1, output_padding=1, bias=bias)
            layers += [twice, normal(norm, before // 2), nn.ReLU()]
        layers.append(nn.Conv2d(width, target, 7, padding=3, padding_mode="reflect"))
        self.layers = nn.Sequential(*layers)
        dcgan_init(self)

    def raw(self, x: Tensor) -> Tensor:
        return self.layers(x)


class SRResNet(Translator):
    """Residual blocks at low resolution, then sub-pixel convolutions (Ledig et al. 2017)."""

    def __init__(self, source: Shape, target: int, width: int, blocks: int, factor: int) -> None:
        super().__init__(factor, least=2)  # which reflection needs
        self.first = nn.Sequential(nn.Conv2d(source[0], width, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(
            *(Residual(width, "batch", nn.PReLU()) for _ in range(blocks)),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        larger: list[nn.Module] = []
        for _ in range(round(math.log2(factor))):
            larger += [nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2), nn.PReLU()]
        self.last = nn.Sequential(*larger, nn.Conv2d(width, target, 9, padding=4))

    def raw(self, x: Tensor) -> Tensor:
        first = self.first(x)
        return self.last(first + self.blocks(first))


class PatchDiscriminator(Discriminator):
    """An output for each patch of an image (Isola et al. 2017, section 6.1.2), [n * patches].

    Convolutions 4x4: `layers` with stride 2, one with stride 1, and one to the outputs; the norm
    is left out on the first.

    Args:
        channels: of what it sees, inputs and targets together where it sees both.
        width: channels of the first layer.
        layers: 3 see patches of 70 pixels a side, 2 of 34, 1 of 16.
        norm: "batch", "instance" or "none".
    """

    def __init__(self, channels: int, width: int, layers: int, norm: str) -> None:
        super().__init__()
        bias = norm != "batch"
        found: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        before = width
        for layer in range(1, layers + 1):
            after = width * min(2**layer, MOST)
            stride = 2 if layer < layers else 1
            found += [nn.Conv2d(before, after, 4, stride, 1, bias=bias), normal(norm, after)]
            found.append(nn.LeakyReLU(0.2))
            before = after
        self.trunk = nn.Sequential(*found)
        self.outputs = nn.Conv2d(before, 1, 4, 1, 1)
        self.width = before
        dcgan_init(self)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The last hidden map, flattened, [n, width * cells]."""
        return self.trunk(x).flatten(1)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The outputs of all patches of all images, [n * patches]."""
        return self.outputs(self.trunk(x)).flatten().float()


@dataclass(frozen=True)
class TranslationFamily(Options, ABC):
    """Builds the players of translation; the discriminators are the same in all families.

    Args:
        discriminator_width: channels of its first layer.
        discriminator_layers: 3 see patches of 70 pixels a side, 2 of 34, 1 of 16; null: by the
            image's size.
        discriminator_norm: "batch", "instance" or "none".
    """

    discriminator_width: int = 64
    discriminator_layers: int | None = None
    discriminator_norm: Kind = "batch"

    @property
    def mixes_samples(self) -> bool:
        return self.discriminator_norm == "batch"

    @abstractmethod
    def translator(self, source: Shape, target: Shape) -> Translator:
        """A network from images of one shape to images of the other.

        Raises:
            ConfigError: it cannot be.
        """

    def discriminator(self, data: DataSpec) -> PatchDiscriminator:
        """A discriminator of images of `data`.

        Raises:
            ConfigError: they are too small.
        """
        channels, height, width = data.shape
        layers = self.discriminator_layers
        if layers is None:
            layers = min(3, max(1, round(math.log2(min(height, width))) - 4))
        most = math.floor(math.log2(min(height, width) / 3))  # that leave an output of a patch
        if layers > most:
            how = f"set network.discriminator_layers={most}" if most >= 1 else "6x6 are the least"
            raise ConfigError(
                f"network.discriminator_layers = {layers}: images of {height}x{width} pixels "
                f"are too small; {how}"
            )
        return PatchDiscriminator(
            channels, self.discriminator_width, layers, self.discriminator_norm
        )


@dataclass(frozen=True)
class UNets(TranslationFamily):
    """pix2pix's family (Isola et al. 2017).

    Args:
        width: channels of the outermost level, 64 in the paper.
        depth: levels; null: as many as lead to one pixel, at most 8.
        dropout: rate on the innermost levels, 0.5 in the paper.
        norm: of the generator: "batch", "instance" or "none".
        skips: false leaves the generator's connections across out.
    """

    width: int = 64
    depth: int | None = None
    dropout: float = 0.5
    norm: Kind = "batch"
    skips: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require_rate(self.dropout)

    def translator(self, source: Shape, target: Shape) -> Translator:
        require_equal_sizes(source, target, "unet")
        depth = self.depth or min(8, math.ceil(math.log2(min(source[1:]))))
        return UNet(source, target[0], self.width, depth, self.dropout, self.norm, self.skips)


@dataclass(frozen=True)
class ResNets(TranslationFamily):
    """CycleGAN's family (Zhu et al. 2017).

    Args:
        width: channels of the outermost layers, 64 in the paper.
        blocks: residual blocks: 9 for 256 pixels and 6 for 128 in the paper.
        norm: of the generator: "instance" in the paper, "batch" or "none".
    """

    width: int = 64
    blocks: int = 6
    norm: Kind = "instance"
    discriminator_norm: Kind = "instance"

    def translator(self, source: Shape, target: Shape) -> Translator:
        require_equal_sizes(source, target, "resnet_translator")
        return ResNetTranslator(source, target[0], self.width, self.blocks, self.norm)


@dataclass(frozen=True)
class SRResNets(TranslationFamily):
    """SRGAN's family (Ledig et al. 2017).

    Args:
        width: channels, 64 in the paper.
        blocks: residual blocks, 16 in the paper.
    """

    width: int = 64
    blocks: int = 16

    def translator(self, source: Shape, target: Shape) -> Translator:
        factor = target[1] // source[1]
        fits = tuple(factor * side for side in source[1:]) == tuple(target[1:])
        if not fits or factor < 2 or factor & (factor - 1):
            raise ConfigError(
                f"network = srresnet: makes sides 2, 4 or 8 times larger, and inputs of "
                f"{source[1]}x{source[2]} pixels go with targets of {target[1]}x{target[2]}; use "
                "data=low_resolution"
            )
        return SRResNet(source, target[0], self.width, self.blocks, factor)


def require_rate(dropout: float) -> None:
    """Refuse a rate of dropout that cannot be."""
    if not 0 <= dropout < 1:
        raise ConfigError(f"network.dropout = {dropout:g}: must be at least 0 and less than 1")


def require_equal_sizes(source: Shape, target: Shape, family: str) -> None:
    """Refuse inputs of another size than the targets'."""
    if source[1:] != target[1:]:
        raise ConfigError(
            f"network = {family}: needs inputs as large as targets, and they have "
            f"{source[1]}x{source[2]} and {target[1]}x{target[2]} pixels; use network=srresnet"
        )


def normal(kind: str, channels: int) -> nn.Module:
    """A norm of [n, channels, height, width]."""
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return nn.InstanceNorm2d(channels) if kind == "instance" else nn.Identity()


def resized(images: Tensor, like: Tensor) -> Tensor:
    """Images [n, C, H, W] at the size of other ones, by nearest neighbours."""
    if images.shape[2:] == like.shape[2:]:
        return images
    return interpolate(images, size=like.shape[2:], mode="nearest")
