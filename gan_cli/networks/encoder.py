"""A discriminator's trunk that says more than one number of a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from gan_cli.errors import ConfigError

if TYPE_CHECKING:
    from gan_cli.networks.family import Discriminator


class Encoder(nn.Module):
    """Samples [n, *shape] and, where it was built for classes, labels [n] to [n, outputs].

    Args:
        trunk: whose features are read; its head is taken off.
        outputs: numbers that one linear layer makes of the features.

    Raises:
        ConfigError: what the trunk makes of a sample depends on others, or leaves its label out.
    """

    def __init__(self, trunk: Discriminator, outputs: int) -> None:
        super().__init__()
        if trunk.crowd is not None:
            raise ConfigError(
                "network.minibatch_discrimination: makes what an encoder says of a sample depend "
                "on the others of its batch; set network.minibatch_discrimination=null"
            )
        if trunk.projection is not None:
            raise ConfigError(
                "network.conditioning = projection: puts labels into the output alone, which an "
                "encoder does not have; set network.conditioning=label_bias"
            )
        del trunk.head
        self.trunk = trunk
        self.head = nn.Linear(trunk.width, outputs)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The outputs [n, outputs]."""
        return self.head(self.trunk.features(x, y))
