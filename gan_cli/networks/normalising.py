"""Layers that normalise: over the batch, within a sample, or the weights themselves."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm

REFERENCES = 64  # samples in the reference batch of virtual batch norm
NORMS = ("batch", "virtual_batch", "layer", "none")


def norm(kind: str, channels: int, flat: bool = False) -> nn.Module:
    """One of `NORMS` for [n, channels, ...]; "layer" is over all but the batch.

    Args:
        kind: which.
        channels: of what is normalised.
        flat: whether there are channels alone, and no map.
    """
    if kind == "batch":
        return nn.BatchNorm1d(channels) if flat else nn.BatchNorm2d(channels)
    if kind == "virtual_batch":
        return VirtualBatchNorm(channels)
    return nn.GroupNorm(1, channels) if kind == "layer" else nn.Identity()


class VirtualBatchNorm(nn.Module):
    """Normalisation by a reference batch and the sample itself (Salimans et al. 2016, section 3.5).

    The first `REFERENCES` samples of a batch are the reference. They are normalised by their own
    mean and variance in each channel, and each sample after them by those of the reference with
    that one sample added, so that what comes out depends on no other sample. In fp32.

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
        means = flat.mean(2, keepdim=True)  # [n, channels, 1], as all that follows
        variances = flat.var(2, keepdim=True, correction=0)
        mean, variance = merged(means[:REFERENCES], variances[:REFERENCES])
        own = 1 / (REFERENCES + 1)  # the weight of a sample beside the reference
        gap = means[REFERENCES:] - mean
        each_mean = mean + own * gap
        # Of two groups: what is within each, and what is between them.
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

    The singular vectors are carried along by one power iteration (Algorithm 1) whenever the layer
    is run in training mode, and stay as they are in evaluation mode or while the layer is frozen.
    A convolution's kernel counts as the matrix [out, in * height * width], as in section 2.1. In
    fp32, whatever the networks compute in.
    """

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            return super().forward(weight)

    @torch.no_grad()
    def _power_method(self, weight_mat: Tensor, n_power_iterations: int) -> None:
        # Torch's own writes with `out=`, which torch.vmap refuses; the numbers are the same.
        for _ in range(n_power_iterations):
            self._u.copy_(normalize(torch.mv(weight_mat, self._v), dim=0, eps=self.eps))
            self._v.copy_(normalize(torch.mv(weight_mat.H, self._u), dim=0, eps=self.eps))


def normalise_spectrum(module: nn.Module, but: nn.Module | None = None) -> None:
    """Give every linear layer, convolution and embedding in `module` a weight of spectral norm 1.

    Call it last, on initial weights that are final.

    Args:
        module: the network.
        but: a part of it that is left alone.
    """
    spared = set() if but is None else set(but.modules())
    for layer in list(module.modules()):
        if layer not in spared and isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding):
            parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight))
