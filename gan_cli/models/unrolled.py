"""A generator that foresees its opponent's next steps (Metz et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Optimizer

from gan_cli.errors import ConfigError
from gan_cli.losses import AdversarialLoss
from gan_cli.model import Batch, DataSpec, Loss
from gan_cli.models.adversarial import AdversarialModel
from gan_cli.models.faults import below
from gan_cli.models.unrolling import AdamDescent, Descent, GradientDescent, Weights
from gan_cli.networks.family import NetworkFamily
from gan_cli.penalties import Penalty
from gan_cli.priors import Prior


class UnrolledGAN(AdversarialModel):
    """The generator plays against the discriminator as it would be after some more updates.

    It minimises f_K(theta_G, theta_D) = f(theta_G, theta_D^K(theta_G, theta_D)), where theta_D^K
    are the discriminator's weights after K = `unroll` updates on the generator's own batch (Eq. 8
    to 10), and its gradient goes through these updates too. The discriminator itself learns as in
    any GAN. Batch norm in it uses each batch's statistics, and none of the imagined updates is
    recorded anywhere. Unrolling is done in fp32 whatever the precision of the rest.

    Args:
        data: what is to be generated.
        prior: of the latents.
        network: builds the two players.
        loss: what they minimise.
        penalty: what constrains the discriminator, also in its imagined updates where it is due
            at every step; limits on weights hold for its true updates alone.
        d_steps: discriminator updates in a step, each with a fresh batch.
        g_steps: generator updates in a step, each with a fresh batch.
        unroll: K; 0 makes it a GAN.
        unroll_optimizer: "adam" or "sgd", of the imagined updates.
        unroll_lr: its learning rate; null: at each step that of the discriminator's own optimizer,
            with its betas and its eps, too. Norms of gradients are not clipped.
        unroll_betas: of Adam; null: those of the discriminator's own.
        saddle: the generator minimises the discriminator's loss with its sign changed, as in the
            paper, where real samples matter too; false: the loss's own generator term.
    """

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        loss: AdversarialLoss,
        penalty: Penalty,
        d_steps: int = 1,
        g_steps: int = 1,
        unroll: int = 5,
        unroll_optimizer: Literal["adam", "sgd"] = "adam",
        unroll_lr: float | None = None,
        unroll_betas: tuple[float, float] | None = None,
        saddle: bool = True,
    ) -> None:
        super().__init__(data, prior, loss, penalty, d_steps=d_steps, g_steps=g_steps)
        self.second_order = True
        self.unroll, self.saddle = unroll, saddle
        self.unroll_lr, self.unroll_betas = unroll_lr, unroll_betas
        self.unroll_adam = unroll_optimizer == "adam"
        self.build(network)
        if unroll:
            self.whole_batch = (*self.whole_batch, "unrolling")
        self.descent: Descent = (
            AdamDescent(self.discriminator, unroll_lr, unroll_betas)
            if self.unroll_adam
            else GradientDescent(unroll_lr)
        )

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        yield from below({"unroll": self.unroll, "unroll_lr": self.unroll_lr or 0}, 0)
        if self.unroll_betas and not all(0 <= beta < 1 for beta in self.unroll_betas):
            yield f"model.unroll_betas = {list(self.unroll_betas)}: must lie in [0, 1)"

    def use_optimizers(self, optimizers: Mapping[str, Optimizer]) -> None:
        follows = self.unroll_lr is None or (self.unroll_adam and self.unroll_betas is None)
        if not self.unroll or not follows:
            return
        try:
            self.descent.follow(optimizers[self.loss.player])
        except ValueError as error:
            given = ("unroll_lr", "unroll_betas") if self.unroll_adam else ("unroll_lr",)
            kind = "adam" if self.unroll_adam else "sgd"
            raise ConfigError(
                f"model.unroll_optimizer = {kind}: cannot look ahead with the optimizer of "
                f"{self.loss.player}, which {error}; choose another, or give the look-ahead "
                f"settings of its own with {' and '.join(f'model.{name}' for name in given)}"
            ) from error

    def discriminator_modules(self) -> tuple[nn.Module, ...]:
        return (self.discriminator, self.descent)

    def after_discriminator(self) -> None:
        if self.unroll:
            self.descent.record(self.discriminator)

    def generator_loss(self, batch: Batch) -> Loss:
        """Make the discriminator of `unroll` updates later take fakes for real."""
        fake = self.sample(len(batch))
        weights: Weights = {**dict(self.discriminator.named_parameters())}
        if not self.unroll:
            return Loss(self._reply(weights, batch, fake), {})
        with torch.autocast(fake.device.type, enabled=False):
            fake = fake.float()
            later = self.descent.descend(
                weights, lambda some: self._imagined_loss(some, batch.real, fake), self.unroll
            )
            return Loss(self._reply(later, batch, fake), {})

    def _reply(self, weights: Weights, batch: Batch, fake: Tensor) -> Tensor:
        """The generator's loss against a discriminator of these weights."""
        said = functional_call(self.discriminator, weights, (fake,))
        if not self.saddle and not self.loss.compares:
            return self.loss.generator(said)
        real = functional_call(self.discriminator, weights, (batch.real,))
        if self.saddle:
            return -self.loss.discriminator(real, said)
        return self.loss.generator(said, real)

    def _imagined_loss(self, weights: Weights, real: Tensor, fake: Tensor) -> Tensor:
        def score(x: Tensor) -> Tensor:
            return functional_call(self.discriminator, weights, (x,))

        outputs = score(real), score(fake)
        return self.compare((real, fake), outputs, score).total
