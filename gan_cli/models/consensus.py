"""Consensus optimisation (Mescheder et al. 2017, "The Numerics of GANs")."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gan_cli.losses import AdversarialLoss
from gan_cli.model import Batch, DataSpec, Loss, Phase
from gan_cli.models.adversarial import AdversarialModel
from gan_cli.models.faults import below
from gan_cli.networks.family import NetworkFamily
from gan_cli.penalties import Penalty
from gan_cli.priors import Prior


class ConsensusGAN(AdversarialModel):
    """Both players move at once, along their gradients and towards where these are 0.

    With v the gradients of both losses, each by its own player's weights, the weights w move by
    w <- w - h (v + gamma grad L), where L = |v|^2 / 2 (Eqs. 8 to 10, Algorithm 2; v has the other
    sign there). The Jacobian of v, whose imaginary eigenvalues make simultaneous gradient descent
    run in circles, gets a negative real part by it. Both losses are taken on one batch with the
    same fakes, and one optimizer moves both players, as in the authors' code.

    Args:
        data: what is to be generated.
        prior: of the latents.
        network: builds the two players.
        loss: what they minimise.
        penalty: what constrains the discriminator, part of its loss.
        gamma: weight of L; 10 in the paper's mixture of Gaussians, .1 on images.
    """

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        loss: AdversarialLoss,
        penalty: Penalty,
        gamma: float = 10.0,
    ) -> None:
        super().__init__(data, prior, loss, penalty)
        self.second_order, self.gamma = True, gamma
        self.build(network)
        self.whole_batch = (*self.whole_batch, "consensus")

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        yield from below({"gamma": self.gamma}, 0)
        if self.penalty.name and (self.penalty.every > 1 or self.penalty.on_weights):
            yield (
                f"penalty = {self.penalty.name}: model=consensus takes it with every update, of "
                "samples alone; set penalty.every=1, or another penalty"
            )

    def phases(self) -> list[Phase]:
        def constrain() -> None:
            self.penalty.constrain(self.discriminator)

        both = (self.discriminator, self.generator)
        return [Phase("players", self.players_loss, both, after=constrain)]

    def players_loss(self, batch: Batch) -> Loss:
        """A scalar whose gradient by both players' weights is v + gamma grad L."""
        with torch.autocast(batch.real.device.type, enabled=False):
            real, fake = self.pair(batch)
            outputs = self.outputs((real, fake))
            own = self.compare((real, fake), outputs)
            against = outputs[0] if self.loss.compares else None
            reply = self.loss.generator(outputs[1], against)
            directions = [
                *self._directions(own.total, self.discriminator),
                *self._directions(reply, self.generator),
            ]
            squares = [gradient.square().sum() for _, gradient in directions]
            consensus = torch.stack(squares).sum() / 2
            products = [(weight * gradient.detach()).sum() for weight, gradient in directions]
            moves = torch.stack(products).sum()
        # The value is that of the losses; the products are there for their gradient alone.
        value = (own.total + reply).detach() + moves - moves.detach()
        logs = {**own.logs, f"loss/{self.loss.player}": own.total.detach()}
        logs |= {"loss/generator": reply.detach(), "consensus": consensus.detach()}
        return Loss(value + self.gamma * consensus, logs, own.outputs)

    def _directions(self, loss: Tensor, player: torch.nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
        """The player's weights, each with its gradient, which can be differentiated again."""
        weights = list(player.parameters())
        gradients = torch.autograd.grad(loss, weights, create_graph=True, allow_unused=True)
        return (
            (weight, gradient)
            for weight, gradient in zip(weights, gradients, strict=True)
            if gradient is not None
        )
