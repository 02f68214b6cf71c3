"""The layers of network families: norms, activations and the sizes of their maps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.networks.convolution import ConvTranspose2d

REFERENCES = 64  # samples in the reference batch of virtual batch norm
Norm = Literal["batch", "virtual_batch", "layer", "none"]
Activation = Literal["relu", "leaky_relu", "silu", "softplus", "tanh", "linear"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)


def norm(name: Norm, channels: int, flat: bool = False) -> nn.Module:
    """A norm of [n, channels, ...], or of [n, channels] if `flat`; "layer" is over all but n."""
    if name == "batch":
        return nn.BatchNorm1d(channels) if flat else nn.BatchNorm2d(channels)
    if name == "virtual_batch":
        return VirtualBatchNorm(channels)
    return nn.GroupNorm(1, channels) if name == "layer" else nn.Identity()


@contextmanager
def unrecorded(module: nn.Module) -> Iterator[None]:
    """Within it, batch norms of `module` in training do not record the statistics that they use.

    For inputs unlike those on which the module is evaluated: one set of running statistics fits one
    kind of input.
    """
    layers = [m for m in module.modules() if isinstance(m, _NormBase) and m.track_running_stats]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


class AcrossSamples(nn.Module):
    """The base of layers whose output on a sample depends on others of its batch, in eval mode."""


def compares_samples(network: nn.Module) -> bool:
    """Whether a network's output on a sample depends on others of its batch, in eval mode."""
    return any(isinstance(layer, AcrossSamples) for layer in network.modules())


class ConditionalBatchNorm(nn.Module):
    """Batch norm whose gains and biases are learned for each class (Dumoulin et al. 2017, Eq. 5).

    Args:
        channels: of [n, channels, height, width].
        classes: the number of labels.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gains = nn.Parameter(torch.ones(classes, channels))
        self.biases = nn.Parameter(torch.zeros(classes, channels))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """`x` normalised; `y` are labels [n], or mixtures of classes, floats [n, classes]."""
        if y.is_floating_point():
            gain, bias = (y.to(table.dtype) @ table for table in (self.gains, self.biases))
        else:
            gain, bias = self.gains[y], self.biases[y]
        return self.norm(x) * gain[:, :, None, None] + bias[:, :, None, None]


class ProjectedBatchNorm(nn.Module):
    """Batch norm whose gains and biases are linear in a vector (Brock et al. 2019, appendix B).

    Args:
        channels: of [n, channels, height, width].
        inputs: size of the vector; the gain is 1 plus its projection.
    """

    def __init__(self, channels: int, inputs: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Linear(inputs, channels, bias=False)
        self.bias = nn.Linear(inputs, channels, bias=False)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        """`x` normalised, by vectors [n, inputs]."""
        gain, bias = 1 + self.gain(vector), self.bias(vector)
        return self.norm(x) * gain[:, :, None, None] + bias[:, :, None, None]


def normalised(layer: nn.Module, x: Tensor, y: Tensor | None) -> Tensor:
    """`layer` on maps `x`; labels or vectors `y` go to a conditional batch norm alone."""
    if not isinstance(layer, ConditionalBatchNorm | ProjectedBatchNorm):
        return layer(x)
    if y is None:
        raise ValueError("conditional batch norm needs labels")
    return layer(x, y)


class VirtualBatchNorm(nn.Module):
    """Normalisation by a reference batch and the sample itself (Salimans et al. 2016, section 3.5).

    The first `REFERENCES` samples of a batch are the reference. They are normalised by their own
    mean and variance in each channel, and each sample after them by those of the reference with
    that one sample added, so that its output depends on no other sample. In fp32.

    Args:
        channels: of [n, channels, ...].
    """

    eps = 1e-5  # as batch norm's

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.float().flatten(2) if x.dim() > 2 else x.float()[:, :, None]
        means = flat.mean(2, keepdim=True)  # [n, channels, 1], as the following tensors
        variances = flat.var(2, keepdim=True, correction=0)
        mean, variance = merged(means[:REFERENCES], variances[:REFERENCES])
        own = 1 / (REFERENCES + 1)  # the weight of a sample beside the reference
        gap = means[REFERENCES:] - mean
        each_mean = mean + own * gap
        # The variance within the two groups plus that between them.
        each_variance = own * variances[REFERENCES:] + (1 - own) * (variance + own * gap.square())
        every = (REFERENCES, -1, -1)
        centre = torch.cat([mean.expand(every), each_mean])
        spread = torch.cat([variance.expand(every), each_variance])
        shown = (flat - centre) * (spread + self.eps).rsqrt()
        shown = shown * self.weight[:, None] + self.bias[:, None]
        return shown.view_as(x).to(x.dtype)


def merged(means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of equally large groups together, [1, ...], from each group's, [n, ...]."""
    mean = means.mean(0, keepdim=True)
    return mean, (variances + (means - mean).square()).mean(0, keepdim=True)


class SpectralNorm(_SpectralNorm):
    """A weight divided by its largest singular value (Miyato et al. 2018, Eq. 8).

    One power iteration (Algorithm 1) updates the singular vectors whenever the layer runs in
    training mode; they are constant in evaluation mode or while the layer is frozen.
    A convolution's kernel counts as the matrix [out, in * height * width], as in section 2.1. In
    fp32, whatever the networks compute in.
    """

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            return super().forward(weight)

    @torch.no_grad()
    def _power_method(self, weight_mat: Tensor, n_power_iterations: int) -> None:
        # Torch's own writes with `out=`, which torch.vmap refuses; the results are the same.
        for _ in range(n_power_iterations):
            self._u.copy_(normalize(torch.mv(weight_mat, self._v), dim=0, eps=self.eps))
            self._v.copy_(normalize(torch.mv(weight_mat.H, self._u), dim=0, eps=self.eps))


def normalise_spectrum(module: nn.Module, but: nn.Module | None = None) -> None:
    """Give every linear layer, convolution and embedding outside `but` a weight of spectral norm 1.

    Call it last, after the weights are initialised.
    """
    spared = set() if but is None else set(but.modules())
    for layer in list(module.modules()):
        if layer not in spared and isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding):
            parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight))


class ShiftedSoftplus(nn.Module):
    """softplus(2x + 2) / 2 - 1, a smooth ReLU (Gulrajani et al. 2017, table 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return softplus(2 * x + 2) / 2 - 1


def activation(name: Activation) -> nn.Module:
    """An activation; "leaky_relu" has the slope .2 below 0 (Radford et al. 2016).

    "linear" is the identity: a perceptron is then an affine map, and maps Gaussians to Gaussians.
    """
    return {
        "relu": lambda: nn.ReLU(inplace=True),
        "leaky_relu": lambda: nn.LeakyReLU(0.2, inplace=True),
        "silu": lambda: nn.SiLU(inplace=True),
        "softplus": ShiftedSoftplus,
        "tanh": nn.Tanh,
        "linear": nn.Identity,
    }[name]()


MOST = 8  # channels grow from `width` to at most this many times as much (Radford et al. 2016)


def require_images(data: DataSpec, family: str) -> None:
    """Refuse points."""
    if not data.is_image:
        raise ConfigError(
            f"network = {family}: works on images, and {data.name} holds points of dimension "
            f"{data.shape[0]}; use network=mlp"
        )


def pyramid(data: DataSpec, family: str, smallest: int = 3) -> list[tuple[int, int]]:
    """Sizes (height, width) from the image down to the coarsest map, each half of the last.

    Halving rounds down and continues while both sides of the next map are at least `smallest`: 64
    gives 64, 32, 16, 8, 4 and 28 gives 28, 14, 7, 3. A transposed convolution with the matching
    output padding inverts each step, whatever the parity.

    Raises:
        ConfigError: points instead of images, or a side too small to be halved once.
    """
    require_images(data, family)
    height, width = data.shape[1:]
    least = 2 * smallest
    if min(height, width) < least:
        near = f"[{max(height, least)},{max(width, least)}]"
        raise ConfigError(
            f"data.size = [{height},{width}]: network={family} needs at least {least} pixels a "
            f"side; the nearest size that works is {near}, or use network=mlp"
        )
    sizes = [(height, width)]
    while min(sizes[-1]) // 2 >= smallest:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes


def widths(width: int, sizes: list[tuple[int, int]]) -> list[int]:
    """Channels of all maps but the image, finest first: `width`, doubled up to `MOST` times it."""
    return [width * min(2**i, MOST) for i in range(len(sizes) - 1)]


def upsample(
    before: int, after: int, small: tuple[int, int], big: tuple[int, int], bias: bool = False
) -> ConvTranspose2d:
    """The transposed convolution 4x4 from a map of size `small` to one of size `big`."""
    odd = (big[0] - 2 * small[0], big[1] - 2 * small[1])
    return ConvTranspose2d(before, after, 4, 2, 1, output_padding=odd, bias=bias)
