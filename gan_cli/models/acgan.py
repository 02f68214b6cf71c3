"""A conditional GAN whose discriminator names the class (ACGAN, Odena et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gan_cli import labels
from gan_cli.losses import AdversarialLoss
from gan_cli.model import Batch, DataSpec, Loss
from gan_cli.models.adversarial import AdversarialModel
from gan_cli.models.discriminator_view import DiscriminatorView
from gan_cli.models.faults import below, without_classes
from gan_cli.networks.family import NetworkFamily, dcgan_init
from gan_cli.penalties import Penalty
from gan_cli.priors import Prior


class ACGAN(AdversarialModel):
    """Both players want the discriminator to recognise the class of every sample, real or fake.

    The discriminator maximises L_S + L_C and the generator L_C - L_S, where L_S is the
    log-likelihood of the source, real or fake (Eq. 2), and L_C = E[log P(C = c | x)] +
    E[log P(C = c | G(z, c))] that of the class (Eq. 3). L_S may be any adversarial loss. The class
    is a linear head on the discriminator's features, which sees no label; the generator gets it.

    Args:
        data: what is to be generated; with labels.
        prior: of the latents.
        network: builds the two players.
        loss: the game for the source.
        penalty: what constrains the discriminator.
        classification: weight of -L_C in both losses, 1 in the paper.
        fake_labels: classes of fakes: "data", drawn in the shares of the real ones (p_c in the
            paper), or "uniform", all equally likely.
        d_steps: discriminator updates in a step, each with a fresh batch.
        g_steps: generator updates in a step, each with fresh latents.
        instance_noise: deviation of the noise on all that the discriminator sees.
        instance_noise_steps: steps over which it falls linearly to 0; null: it never falls.
        augment: policies of differentiable augmentation (Zhao et al. 2020).
    """

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        loss: AdversarialLoss,
        penalty: Penalty,
        classification: float = 1.0,
        fake_labels: Literal["data", "uniform"] = "data",
        d_steps: int = 1,
        g_steps: int = 1,
        instance_noise: float = 0.0,
        instance_noise_steps: int | None = None,
        augment: Sequence[str] = (),
    ) -> None:
        super().__init__(
            data,
            prior,
            loss,
            penalty,
            conditional=True,
            d_steps=d_steps,
            g_steps=g_steps,
            view=DiscriminatorView(data, 1, instance_noise, instance_noise_steps, augment),
        )
        self.classification, self.fake_labels = classification, fake_labels
        self.build(network)
        self.classifier = nn.Linear(self.discriminator.width, data.classes)
        dcgan_init(self.classifier)

    def faults(self) -> Iterator[str]:
        yield from without_classes("model = acgan", self.data, "model=gan")
        yield from below({"classification": self.classification}, 0)
        yield from super().faults()

    def discriminator_modules(self) -> tuple[nn.Module, ...]:
        return (self.discriminator, self.classifier)

    def discriminator_loss(self, batch: Batch) -> Loss:
        """Tell real from fake, and classify both."""
        y, wanted = self._classes(batch), self._wanted(len(batch))
        real, fake = self.pair(batch, wanted)
        features = self.discriminator.features(real), self.discriminator.features(fake)
        outputs = (
            self.discriminator.output_of(features[0]),
            self.discriminator.output_of(features[1]),
        )
        game = self.compare((real, fake), outputs)
        logits = self._logits(features[0]), self._logits(features[1])
        loss = cross_entropy(logits[0], y) + cross_entropy(logits[1], wanted)  # -L_C
        logs = {
            "class_accuracy/real": (logits[0].argmax(1) == y).float().mean(),
            "class_accuracy/fake": (logits[1].argmax(1) == wanted).float().mean(),
            "class_likelihood": -loss.detach(),
        }
        total = game.total + self.classification * loss
        return Loss(total, {**game.logs, **logs}, game.outputs)

    def pair(self, batch: Batch, wanted: Tensor | None = None) -> tuple[Tensor, Tensor]:
        wanted = self._wanted(len(batch)) if wanted is None else wanted
        fake = self.view(self.sample(len(wanted), wanted), batch)
        return self.view(batch.real, batch), fake

    def generator_loss(self, batch: Batch) -> Loss:
        """Make the discriminator take fakes for real, and for samples of the wanted class.

        The half of L_C on real samples is a constant here and left out.
        """
        wanted = self._wanted(len(batch))
        features = self.discriminator.features(self.view(self.sample(len(wanted), wanted), batch))
        adversarial = self.reply(self.discriminator.output_of(features), batch)
        total = adversarial + self.classification * cross_entropy(self._logits(features), wanted)
        return Loss(total, {})

    def _logits(self, features: Tensor) -> Tensor:
        """The classifier's logits [n, classes] in fp32, whatever the networks compute in."""
        return self.classifier(features).float()

    def _wanted(self, n: int) -> Tensor:
        """Classes for `n` fakes."""
        if self.fake_labels == "uniform":
            return torch.randint(self.data.classes, (n,), device=self.device)
        return labels.drawn(self.label_ends, n)

    def _classes(self, batch: Batch) -> Tensor:
        assert batch.labels is not None, "the constructor refuses data without labels"
        return batch.labels
