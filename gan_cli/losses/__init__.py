"""Adversarial losses: one small class each, all minimised, all means over the batch of logits."""

from gan_cli.losses.base import AdversarialLoss, Comparing
from gan_cli.losses.classic import (
    CrossEntropy,
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Wasserstein,
    cross_entropy,
)
from gan_cli.losses.divergences import (
    FDivergence,
    ForwardKL,
    JensenShannon,
    Pearson,
    ReverseKL,
    SquaredHellinger,
    TotalVariation,
)
from gan_cli.losses.relativistic import Relativistic, RelativisticAverage
from gan_cli.losses.softmax import Softmax

__all__ = [
    "AdversarialLoss",
    "Comparing",
    "CrossEntropy",
    "FDivergence",
    "ForwardKL",
    "Hinge",
    "JensenShannon",
    "LeastSquares",
    "Minimax",
    "NonSaturating",
    "Pearson",
    "Relativistic",
    "RelativisticAverage",
    "ReverseKL",
    "Softmax",
    "SquaredHellinger",
    "TotalVariation",
    "Wasserstein",
    "cross_entropy",
]
