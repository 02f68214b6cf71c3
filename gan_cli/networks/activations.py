"""What networks put between their layers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import softplus

ACTIVATIONS = ("relu", "leaky_relu", "silu", "softplus", "tanh", "linear")


class ShiftedSoftplus(nn.Module):
    """softplus(2x + 2) / 2 - 1, a smooth ReLU (Gulrajani et al. 2017, table 1)."""

    def forward(self, x: Tensor) -> Tensor:
        return softplus(2 * x + 2) / 2 - 1


def activation(name: str) -> nn.Module:
    """One of `ACTIVATIONS`; "leaky_relu" has the slope .2 below 0 (Radford et al. 2016).

    "linear" is none at all: a perceptron is then an affine map, and turns Gaussians into Gaussians.
    """
    return {
        "relu": lambda: nn.ReLU(inplace=True),
        "leaky_relu": lambda: nn.LeakyReLU(0.2, inplace=True),
        "silu": lambda: nn.SiLU(inplace=True),
        "softplus": ShiftedSoftplus,
        "tanh": nn.Tanh,
        "linear": nn.Identity,
    }[name]()
