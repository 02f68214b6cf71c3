"""Layers that normalise: over the batch, within a sample, or the weights themselves."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm

from gan_cli.errors import ConfigError


def norm(
    kind: str, channels: int, setting: str = "discriminator_norm", flat: bool = False
) -> nn.Module:
    """Normalisation of [n, channels, ...]: "batch", "layer" (over all but the batch) or "none".

    Args:
        kind: which.
        channels: of what is normalised.
        setting: the key of `network` that `kind` comes from.
        flat: whether there are channels alone, and no map.

    Raises:
        ConfigError: another `kind`.
    """
    if kind == "batch":
        return nn.BatchNorm1d(channels) if flat else nn.BatchNorm2d(channels)
    if kind == "layer":
        return nn.GroupNorm(1, channels)
    if kind == "none":
        return nn.Identity()
    raise ConfigError(f"network.{setting} = {kind}: must be batch, layer or none")


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
