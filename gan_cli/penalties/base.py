"""What keeps a discriminator smooth: penalties on its gradient, limits on its weights.

A penalty is called with the discriminator as a function of samples and returns a scalar to be
added to its loss, and so is what `regularise` makes of its weights; `constrain` runs after each of
its updates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

Score = Callable[[Tensor], Tensor]


class Penalty(ABC):
    """A constraint on the discriminator.

    Args:
        weight: factor of the term in the loss.
        every: only after every n-th of the discriminator's updates, then n times as strong, as an
            update of its own (lazy regularisation, Karras et al. 2020, section 4.1, appendix B).
        rescale: where `every` > 1, the discriminator's learning rate is times c = n / (n + 1) and
            its Adam's betas are to the power c, as there, since n + 1 updates stand for n.
    """

    name = ""  # of the term, for its curve; empty where there is no term
    lipschitz = False  # whether it bounds the critic's slope, as the Wasserstein loss requires
    per_sample = False  # whether it looks at one sample's gradient, which batch norm mixes
    at_fakes = False  # whether it looks at fakes too
    whole_batch = False  # whether it is more than a mean over samples
    on_weights = False  # whether it has a term of the weights themselves ...
    of: Literal["generator", "discriminator"] = "discriminator"  # ... and of whose

    def __init__(self, weight: float = 0.0, every: int = 1, rescale: bool = False) -> None:
        if weight < 0:
            raise ValueError(f"weight = {weight:g}: must not be negative")
        if every < 1:
            raise ValueError(f"every = {every}: must be at least 1")
        self.weight, self.every, self.rescale = weight, every, rescale

    @abstractmethod
    def __call__(self, score: Score, real: Tensor, fake: Tensor) -> Tensor:
        """The weighted term, a scalar; `real` and `fake` are samples [n, *shape]."""

    def regularise(self, network: nn.Module) -> Tensor:
        """The weighted term of the weights of `of`, a scalar; only where `on_weights`."""
        raise NotImplementedError(f"{type(self).__name__} has no term of the weights")

    def constrain(self, discriminator: nn.Module) -> None:
        """Project the weights, after an update."""
        return


class WeightPenalty(Penalty, ABC):
    """A constraint that looks at no sample."""

    def __call__(self, score: Score, real: Tensor, fake: Tensor) -> Tensor:
        return real.new_zeros(())


class NoPenalty(WeightPenalty):
    """No constraint at all."""

    def __init__(self) -> None:
        super().__init__()
