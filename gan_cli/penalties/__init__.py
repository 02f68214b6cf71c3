"""What keeps a discriminator smooth: penalties on its gradient, limits on its weights."""

from gan_cli.penalties.base import NoPenalty, Penalty, Score, WeightPenalty
from gan_cli.penalties.gradients import (
    DRAGAN,
    R1,
    R1R2,
    GradientPenalty,
    OneSidedGradientPenalty,
    ZeroCentred,
    squared_gradient_norm,
)
from gan_cli.penalties.weights import Orthogonal, WeightClip

__all__ = [
    "DRAGAN",
    "R1",
    "R1R2",
    "GradientPenalty",
    "NoPenalty",
    "OneSidedGradientPenalty",
    "Orthogonal",
    "Penalty",
    "Score",
    "WeightClip",
    "WeightPenalty",
    "ZeroCentred",
    "squared_gradient_norm",
]
