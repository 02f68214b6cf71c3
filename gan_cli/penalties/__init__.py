"""What keeps a discriminator smooth: penalties on its gradient, limits on its weights."""

from gan_cli.penalties.base import NoPenalty, Penalty, Score
from gan_cli.penalties.gradients import R1, GradientPenalty, squared_gradient_norm
from gan_cli.penalties.weights import WeightClip

__all__ = [
    "R1",
    "GradientPenalty",
    "NoPenalty",
    "Penalty",
    "Score",
    "WeightClip",
    "squared_gradient_norm",
]
