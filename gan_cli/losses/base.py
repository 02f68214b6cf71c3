"""What every adversarial loss is: small, minimised, a mean over the batch of logits.

`discriminator(real, fake)` and `generator(fake, real)` take the discriminator's raw outputs [n]
(logits: before any sigmoid) and return a scalar. `real` is there for losses that compare.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor


class AdversarialLoss(ABC):
    """What the two players minimise."""

    player = "discriminator"  # what the field calls the opponent of the generator
    probabilistic = True  # sigmoid(output) estimates the probability of being real
    boundary: float | None = 0.0  # outputs above it are taken for real; None: they only compare
    unbounded = False  # needs a constraint on the critic to have a finite value
    whole_batch = False  # whether it is more than a mean over samples, or pairs of them
    compares = False  # whether the generator's loss needs the outputs for real samples too

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss on outputs [n] for real and fake samples."""

    @abstractmethod
    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """The generator's loss on the discriminator's outputs [n] for fake samples.

        Raises:
            ValueError: the loss compares, and there are no outputs for real samples.
        """

    def best(self, log_ratio: Tensor) -> Tensor | None:
        """The output [n] that is best for D where log p/q is `log_ratio` [n], p of real samples.

        None where no output is best point by point.
        """
        return None


class Comparing(AdversarialLoss, ABC):
    """A loss of outputs for real and fake samples against each other.

    An output has no meaning by itself: the same constant added to all changes nothing.
    """

    probabilistic = False
    boundary = None
    compares = True

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        if real is None:
            raise ValueError(
                f"the {type(self).__name__} loss compares: generator(fake, real) needs the "
                "discriminator's outputs for real samples, and real is None"
            )
        return self.against(fake, real)

    @abstractmethod
    def against(self, fake: Tensor, real: Tensor) -> Tensor:
        """The generator's loss on outputs [n] for fake and real samples."""
