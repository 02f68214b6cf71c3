"""StyleGAN2's generator and discriminator (Karras et al. 2020a), for images that halve evenly.

As in the authors' code (stylegan2-ada-pytorch) in fp32: a mapping network from latents to styles,
convolutions whose weights the style scales and normalises, noise after each of them, images added
up over the sizes ("skip"), and a residual discriminator with the deviation over a minibatch.
Weights are from N(0, 1) and scaled when used (equalised learning rate).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, linear, one_hot

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.networks.family import Discriminator, Generator, NetworkFamily
from gan_cli.networks.layers import AcrossSamples, require_images
from gan_cli.networks.r3gan import Resample

COARSEST = 4  # the least side of the first map
GAIN = math.sqrt(2)  # after each leaky ReLU .2
SLOW = 0.01  # learning rate of the mapping network, relative to the rest
DECAY = 0.995  # of the mean style


@dataclass(frozen=True, kw_only=True)
class StyleGAN2(NetworkFamily):
    """The family.

    Args:
        width: channels of the maps of the image's size; they double with each halving.
        most: channels at most.
        style: size of a style, None for that of the latent.
        mapping: layers of the mapping network.
        residual: whether the discriminator's blocks have a shortcut.
        group: samples over which the discriminator sees deviations; None for none.
        truncation: psi, the factor of a style's distance from the mean style when sampling.
    """

    width: int = 64
    most: int = 512
    style: int | None = None
    mapping: int = 8
    residual: bool = True
    group: int | None = 4
    truncation: float = 1.0

    def generator(self, inputs: int, data: DataSpec, classes: int = 0) -> Generator:
        return StyleGAN2Generator(self, inputs, data, classes)

    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        return StyleGAN2Discriminator(self, data, classes)

    def maps(self, data: DataSpec) -> list[tuple[int, tuple[int, int]]]:
        """Channels and size of each map, coarsest first: from 4x4, where the side is a power of 2.

        Raises:
            ConfigError: the images cannot be halved to maps with sides of 4 to 7.
        """
        require_images(data, "stylegan2")
        height, width = data.shape[1:]
        halvings = (min(height, width) // COARSEST).bit_length() - 1
        if halvings < 1 or height % (1 << halvings) or width % (1 << halvings):
            near = 1 << max(3, (max(height, width) - 1).bit_length())
            raise ConfigError(
                f"data.size = [{height},{width}]: network=stylegan2 needs sides that halve evenly "
                f"down to 4 to 7, such as 28, 32 or 64; set data.size={near}"
            )
        levels = range(halvings, -1, -1)
        return [
            (min(self.width << level, self.most), (height >> level, width >> level))
            for level in levels
        ]


class Dense(nn.Module):
    """A linear layer with weights from N(0, 1), scaled by 1 / sqrt(inputs).

    Args:
        before: inputs.
        after: outputs.
        bias: its first value.
        rate: learning rate relative to the rest, which both weights and biases are scaled by.
    """

    def __init__(self, before: int, after: int, bias: float = 0.0, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before) / rate)
        self.bias = nn.Parameter(torch.full((after,), bias))
        self.gain, self.rate = rate / math.sqrt(before), rate

    def forward(self, x: Tensor) -> Tensor:
        """[n, before] to [n, after]."""
        return linear(x, self.weight * self.gain, self.bias * self.rate)


def activated(x: Tensor, gain: float = 1.0) -> Tensor:
    """Leaky ReLU .2, times sqrt 2 and `gain`."""
    return leaky_relu(x, 0.2) * (GAIN * gain)


def unit(x: Tensor) -> Tensor:
    """Rows [n, size] scaled to a mean square of 1."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class Mapping(nn.Module):
    """Latents and labels to styles, by layers with a leaky ReLU.

    Args:
        latents: size of the latents; 0 for labels alone.
        classes: number of labels; 0 for none.
        style: size of the styles.
        layers: their number.
    """

    def __init__(self, latents: int, classes: int, style: int, layers: int) -> None:
        super().__init__()
        self.classes = classes
        self.embedding = Dense(classes, style) if classes else None
        before = latents + (style if classes else 0)
        widths = [before, *[style] * layers]
        self.layers = nn.ModuleList(Dense(a, b, rate=SLOW) for a, b in pairwise(widths))

    def forward(self, z: Tensor | None, y: Tensor | None) -> Tensor:
        """Styles [n, style] of latents `z` [n, latents]; `y` as a generator's."""
        parts = [] if z is None else [unit(z.float())]
        if self.embedding is not None:
            if y is None:
                raise ValueError("a conditional network needs labels")
            mixture = y if y.is_floating_point() else one_hot(y, self.classes)
            parts.append(unit(self.embedding(mixture.float())))
        x = torch.cat(parts, dim=1)
        for layer in self.layers:
            x = activated(layer(x))
        return x


class Modulated(nn.Module):
    """A convolution whose weights are scaled by a style and, except before an image, normalised.

    Karras et al. 2020a, section 2.2, Eqs. 1 and 3: w'_ijk = s_i w_ijk, and
    w''_ijk = w'_ijk / sqrt(sum_ik w'_ijk^2 + eps). Written as scales of the maps before and after.

    Args:
        before: channels of the input.
        after: of the output.
        style: size of the style.
        side: of the kernel.
        up: double the map, by the transposed convolution and a blur.
        normalise: whether outputs have unit variance again.
    """

    kernel: Tensor

    def __init__(
        self,
        before: int,
        after: int,
        style: int,
        side: int = 3,
        up: bool = False,
        normalise: bool = True,
    ) -> None:
        super().__init__()
        self.up, self.normalise = up, normalise
        self.affine = Dense(style, before, bias=1.0)
        self.weight = nn.Parameter(torch.randn(after, before, side, side))
        self.gain = 1.0 if normalise else 1 / math.sqrt(before * side**2)
        self.register_buffer("kernel", blur() * 4, persistent=False)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """A map [n, before, ...] and styles [n, style] to [n, after, ...]."""
        scale = self.affine(w) * self.gain  # [n, before]
        x = x * scale[:, :, None, None].to(x.dtype)
        if self.up:
            x = conv_transpose2d(x, self.weight.transpose(0, 1), None, 2)
            x = blurred(x, self.kernel, 1)
        else:
            x = conv2d(x, self.weight, None, 1, self.weight.shape[2] // 2)
        if self.normalise:
            with torch.autocast(x.device.type, enabled=False):
                power = linear(scale.float().square(), self.weight.square().sum((2, 3)))
                x = x * (power + 1e-8).rsqrt()[:, :, None, None].to(x.dtype)
        return x


def blur() -> Tensor:
    """The filter (1, 3, 3, 1) / 8 along both axes, [1, 1, 4, 4]."""
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    return torch.outer(line, line)[None, None]


def blurred(x: Tensor, kernel: Tensor, padding: int) -> Tensor:
    """Each channel of `x` [n, channels, ...] filtered."""
    channels = x.shape[1]
    weight = kernel.to(x.dtype).expand(channels, -1, -1, -1)
    return conv2d(x, weight, None, 1, padding, groups=channels)


class StyledLayer(nn.Module):
    """A modulated convolution, noise for each place, a bias and a leaky ReLU.

    The noise is drawn anew in training, and is one fixed map when sampling, so that a sample
    depends on its latent alone.
    """

    fixed: Tensor  # [height, width]

    def __init__(
        self, before: int, after: int, style: int, size: tuple[int, int], up: bool = False
    ) -> None:
        super().__init__()
        self.convolution = Modulated(before, after, style, up=up)
        self.register_buffer("fixed", torch.randn(size))
        self.strength = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(after))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """A map and styles [n, style] to the next map."""
        x = self.convolution(x, w)
        noise = self.fixed
        if self.training:
            noise = torch.randn(len(x), 1, *x.shape[2:], device=x.device)
        x = x + (noise * self.strength).to(x.dtype)
        return activated(x + self.bias[:, None, None].to(x.dtype))


class ToImage(nn.Module):
    """A modulated convolution 1x1 to the channels of images."""

    def __init__(self, before: int, after: int, style: int) -> None:
        super().__init__()
        self.convolution = Modulated(before, after, style, side=1, normalise=False)
        self.bias = nn.Parameter(torch.zeros(after))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """An image of the map's size, in fp32."""
        return self.convolution(x, w).float() + self.bias[:, None, None]


class StyleGAN2Generator(Generator):
    """Mapping, then layers from a learned map; their images are added up. No tanh."""

    of_samples = ("mean_style",)
    mean_style: Tensor  # [style]

    def __init__(self, options: StyleGAN2, inputs: int, data: DataSpec, classes: int) -> None:
        super().__init__(inputs, classes, norm="none", images=False)
        maps, style = options.maps(data), options.style or inputs
        self.truncation = options.truncation
        self.mapping = Mapping(inputs, classes, style, options.mapping)
        self.register_buffer("mean_style", torch.zeros(style))
        first, size = maps[0]
        self.start = nn.Parameter(torch.randn(first, *size))
        layers, images = [StyledLayer(first, first, style, size)], []
        images.append(ToImage(first, data.shape[0], style))
        for (before, _), (after, size) in pairwise(maps):
            layers.append(StyledLayer(before, after, style, size, up=True))
            layers.append(StyledLayer(after, after, style, size))
            images.append(ToImage(after, data.shape[0], style))
        doublings = [Resample(small, big) for (_, small), (_, big) in pairwise(maps)]
        self.layers, self.images = nn.ModuleList(layers), nn.ModuleList(images)
        self.doublings = nn.ModuleList(doublings)
        self.inputs = len(layers) + 1  # styles of a sample: one for each layer, one for the image

    def styles(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Styles [n, style] of latents; in training the mean style follows them."""
        w = self.mapping(z, y)
        if self.training and self.start.requires_grad:  # not while another player learns
            with torch.no_grad():
                self.mean_style.lerp_(w.detach().float().mean(0), 1 - DECAY)
        elif not self.training and self.truncation is not None and self.truncation != 1:
            w = self.mean_style.lerp(w.float(), self.truncation)
        return w

    def synthesise(self, styles: Tensor) -> Tensor:
        """Images of styles [n, inputs, style], one for each layer."""
        layer = iter(self.layers)
        x = self.start.expand(styles.shape[0], -1, -1, -1)
        x = next(layer)(x, styles[:, 0])
        image = self.images[0](x, styles[:, 1])
        place = 1
        for to_image, double in zip(list(self.images)[1:], self.doublings, strict=True):
            for _ in range(2):
                x = next(layer)(x, styles[:, place])
                place += 1
            image = double(image) + to_image(x, styles[:, place])
        return image

    def repeated(self, w: Tensor) -> Tensor:
        """Styles [n, style] for all layers, [n, inputs, style]."""
        return w[:, None].expand(-1, self.inputs, -1)

    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.synthesise(self.repeated(self.styles(z, y)))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Decode; samples are cut to [-1, 1], while training sees what lies beyond."""
        x = self.raw(z, y)
        return x if self.training else x.clamp(-1, 1)


class Convolution(nn.Module):
    """A convolution with an equalised learning rate; a bias and a leaky ReLU if `active`.

    Args:
        before: channels of the input.
        after: of the output.
        side: of the kernel.
        down: halve the map, blurred before.
        active: whether it has a bias and an activation.
    """

    kernel: Tensor

    def __init__(
        self, before: int, after: int, side: int = 3, down: bool = False, active: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before, side, side))
        self.bias = nn.Parameter(torch.zeros(after)) if active else None
        self.gain, self.down = 1 / math.sqrt(before * side**2), down
        self.register_buffer("kernel", blur(), persistent=False)

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """The next map, times `gain`."""
        side = self.weight.shape[2]
        if self.down:
            x = blurred(x, self.kernel, side // 2 + 1)
        stride, padding = (2, 0) if self.down else (1, side // 2)
        x = conv2d(x, self.weight * self.gain, None, stride, padding)
        if self.bias is None:
            return x * gain
        return activated(x + self.bias[:, None, None].to(x.dtype), gain)


class DiscriminatorBlock(nn.Module):
    """Two convolutions, the second of which halves the map, beside a shortcut."""

    def __init__(self, before: int, after: int, residual: bool) -> None:
        super().__init__()
        self.one, self.two = Convolution(before, before), Convolution(before, after, down=True)
        self.shortcut = Convolution(before, after, 1, down=True, active=False) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        """A map [n, before, ...] to one of half the size."""
        if self.shortcut is None:
            return self.two(self.one(x))
        half = math.sqrt(0.5)
        return self.shortcut(x, half) + self.two(self.one(x), half)


class MinibatchDeviation(AcrossSamples):
    """The mean deviation over groups of samples as one more map (Karras et al. 2018, section 3).

    Args:
        group: samples in a group; the largest divisor of a batch below that where it does not fit.
    """

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """[n, channels, ...] to [n, channels + 1, ...]."""
        n = len(x)
        group = next(size for size in range(min(self.group, n), 0, -1) if n % size == 0)
        y = x.float().view(group, n // group, *x.shape[1:])
        deviation = ((y - y.mean(0)).square().mean(0) + 1e-8).sqrt().mean((1, 2, 3))
        column = deviation.repeat(group).view(n, 1, 1, 1).expand(-1, 1, *x.shape[2:])
        return torch.cat([x, column.to(x.dtype)], dim=1)


class StyleGAN2Discriminator(Discriminator):
    """Blocks down to the coarsest map, the deviation over a minibatch, and dense layers.

    Labels come in by the inner product with their own mapping (Miyato and Koyama 2018).
    """

    def __init__(self, options: StyleGAN2, data: DataSpec, classes: int) -> None:
        super().__init__()
        maps = options.maps(data)[::-1]
        channels = [width for width, _ in maps]
        layers: list[nn.Module] = [Convolution(data.shape[0], channels[0], 1)]
        for before, after in pairwise(channels):
            layers.append(DiscriminatorBlock(before, after, options.residual))
        width = channels[-1]
        deviation = options.group is not None
        if options.group is not None:
            layers.append(MinibatchDeviation(options.group))
        layers.append(Convolution(width + deviation, width))
        self.trunk = nn.Sequential(*layers)
        self.dense = Dense(width * math.prod(maps[-1][1]), width)
        self.width = width
        self.labels = Mapping(0, classes, width, 8) if classes else None
        self.head = Dense(width, width if classes else 1)  # type: ignore[assignment]

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return activated(self.dense(self.trunk(x).flatten(1)))

    def output_of(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        found = self.head(features).float()
        if self.labels is None:
            return found.squeeze(1)
        return (found * self.labels(None, y)).sum(1) / math.sqrt(self.width)
