"""Adversarial losses: one small class each, all minimised, all means over the batch of logits."""

from gan_cli.losses.base import AdversarialLoss
from gan_cli.losses.classic import (
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Wasserstein,
    cross_entropy,
)

__all__ = [
    "AdversarialLoss",
    "Hinge",
    "LeastSquares",
    "Minimax",
    "NonSaturating",
    "Wasserstein",
    "cross_entropy",
]
