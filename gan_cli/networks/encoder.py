"""A discriminator's trunk that says more than one number of a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from gan_cli.networks.family import Discriminator


class Encoder(nn.Module):
    """Samples [n, *shape] and, where it was built for classes, labels [n] to [n, outputs].

    Args:
        trunk: whose features are read; its head is taken off, and a projection of labels too.
        outputs: numbers that one linear layer makes of the features.
    """

    def __init__(self, trunk: Discriminator, outputs: int) -> None:
        super().__init__()
        del trunk.head
        trunk.projection = None
        self.trunk = trunk
        self.head = nn.Linear(trunk.width, outputs)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The outputs [n, outputs]."""
        return self.head(self.trunk.features(x, y))
