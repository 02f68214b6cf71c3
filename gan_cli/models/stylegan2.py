"""StyleGAN2 (Karras et al. 2020a): style mixing and a regular path length.

R1 is a penalty of every discriminator (`penalty=r1`, lazily by `penalty.every`), adaptive
augmentation a part of its view.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from gan_cli.adaptive_augmentation import pipeline
from gan_cli.errors import ConfigError
from gan_cli.losses import AdversarialLoss
from gan_cli.model import Batch, DataSpec, Loss, Phase
from gan_cli.models.adversarial import AdversarialModel
from gan_cli.models.discriminator_view import DiscriminatorView
from gan_cli.models.faults import below, without_classes
from gan_cli.networks.family import NetworkFamily
from gan_cli.networks.layers import compares_samples
from gan_cli.networks.stylegan2 import StyleGAN2Generator
from gan_cli.penalties import Penalty
from gan_cli.priors import Prior

DECAY = 0.01  # weight of a batch in the mean path length


class StyleGAN2(AdversarialModel):
    """A generator of styles against a discriminator.

    Args:
        data: what is to be generated.
        prior: of the latents.
        network: builds the players; its generator is StyleGAN2's.
        loss: what they minimise.
        penalty: what constrains the discriminator.
        conditional: labels into both networks.
        first: the player that moves first in a step; "generator" in the authors' code.
        mixing: probability that layers from a random one on get the style of another latent.
        path_length: weight of E[(|J^T y| - a)^2], where J is the Jacobian of an image by its
            styles, y noise, and a the running mean of these lengths (Eq. 4); 0: none.
        path_every: its updates come after every so many of the generator's, and are as many times
            as strong.
        path_shrink: its batch is a batch divided by this.
        augment: policies of differentiable augmentation (Zhao et al. 2020).
        ada_target: of the mean sign of D on real images (Karras et al. 2020b); null: none.
        ada_images: images over which the probability of augmentation can rise from 0 to 1.
        ada_pipeline: its transformations, as in `GAN`, as are the following.
        ada_p: their probability, where it is given instead.
        ada_p_steps: steps over which it rises from 0; null: it is constant.
    """

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        loss: AdversarialLoss,
        penalty: Penalty,
        conditional: bool = False,
        first: Literal["discriminator", "generator"] = "discriminator",
        mixing: float = 0.9,
        path_length: float = 2.0,
        path_every: int = 4,
        path_shrink: int = 2,
        augment: Sequence[str] = (),
        ada_target: float | None = None,
        ada_images: int = 500_000,
        ada_pipeline: str | Sequence[str] | Mapping[str, float] = "bgc",
        ada_p: float | None = None,
        ada_p_steps: int | None = None,
    ) -> None:
        adaptive = pipeline(data, ada_target, ada_images, ada_pipeline, ada_p, ada_p_steps)
        view = DiscriminatorView(data, augmentations=augment, adaptive=adaptive)
        super().__init__(
            data, prior, loss, penalty, conditional=conditional, first=first, view=view
        )
        self.adaptive, self.mixing = adaptive, mixing
        self.path_length, self.path_every = path_length, path_every
        self.path_shrink = path_shrink
        self.build(network, data.classes if conditional else 0)
        self.second_order = self.second_order or path_length > 0
        self.path = PathMean()
        if compares_samples(self.discriminator):
            self.whole_batch = (*self.whole_batch, "minibatch deviation (network.group)")
        if path_length:
            self.whole_batch = (*self.whole_batch, "path lengths (model.path_length)")

    def faults(self) -> Iterator[str]:
        if self.conditional:
            yield from without_classes("model.conditional = true", self.data)
        yield from super().faults()
        yield from below({"path_length": self.path_length}, 0)
        yield from below({"path_every": self.path_every, "path_shrink": self.path_shrink}, 1)
        if not 0 <= self.mixing <= 1:
            yield f"model.mixing = {self.mixing:g}: must lie in [0, 1]"

    def build(self, network: NetworkFamily, classes: int = 0) -> None:
        super().build(network, classes)
        if not isinstance(self.generator, StyleGAN2Generator):
            raise ConfigError(
                f"network = {type(network).__name__}: model=stylegan2 needs its own; "
                "set network=stylegan2"
            )

    def rows(self, samples: int) -> frozenset[int]:
        return super().rows(samples) | {max(1, samples // self.path_shrink)}

    def discriminator_modules(self) -> tuple[nn.Module, ...]:
        return (self.discriminator, *(() if self.adaptive is None else (self.adaptive,)))

    def generator_modules(self) -> tuple[nn.Module, ...]:
        return (self.generator, self.path)

    def after_discriminator(self) -> None:
        if self.adaptive is not None:
            self.adaptive.adapt()

    def phases(self) -> list[Phase]:
        phases = super().phases()
        if self.path_length:
            phases.append(
                Phase(
                    "generator_path_length",
                    self.path_loss,
                    self.generator_modules(),
                    every=self.path_every,
                    follows="generator",
                    rescales=self.path_every > 1,
                    optimizer="generator",
                )
            )
        return phases

    def discriminator_loss(self, batch: Batch) -> Loss:
        y = self._labels(batch)
        pair = batch.real, self._fakes(len(batch), y)
        seen = self.view(pair[0], batch), self.view(pair[1], batch)
        outputs = self.discriminator(seen[0], y), self.discriminator(seen[1], y)
        samples = seen if self.adaptive is None else pair
        game = self.compare(samples, outputs, self.penalised(batch, y))
        if self.adaptive is None:
            return game
        self.adaptive.record(outputs[0], batch.whole)
        return game._replace(logs={**game.logs, "ada/p": self.adaptive.p.clone()})

    def penalty_loss(self, batch: Batch) -> Loss:
        y = self._labels(batch)
        real = self.before_penalty(batch.real, batch)
        fake = self.before_penalty(self._fakes(len(batch), y), batch)
        return self.lazy_penalty(self.penalised(batch, y), real, fake)

    def generator_loss(self, batch: Batch) -> Loss:
        y = self._labels(batch)
        output = self.discriminator(self.view(self._fakes(len(batch), y), batch), y)
        if not self.loss.compares:
            return Loss(self.loss.generator(output), {})
        against = self.discriminator(self.view(batch.real, batch), y)
        return Loss(self.loss.generator(output, against), {})

    def path_loss(self, batch: Batch) -> Loss:
        """The path lengths' distance from their mean, as strong as the updates that it skips."""
        n, y = max(1, len(batch) // self.path_shrink), self._labels(batch)
        styles = self._styles(n, None if y is None else y[:n])
        with torch.autocast(styles.device.type, enabled=False):
            styles = styles.float()
            images = self._own.synthesise(styles)
            noise = torch.randn_like(images) / math.sqrt(images[0, 0].numel())
            (slope,) = torch.autograd.grad((images * noise).sum(), styles, create_graph=True)
            lengths = slope.square().sum(2).mean(1).sqrt()
        mean = self.path.mean.lerp(lengths.mean(), DECAY)  # with this batch, as in their code
        gap = (lengths - mean).square().mean()
        with torch.no_grad():
            self.path.mean.copy_(mean)
        logs = {"path_length": lengths.detach().mean(), "penalty/path_length": gap.detach()}
        return Loss(self.path_every * self.path_length * gap, logs)

    def score(self, x: Tensor, y: Tensor | None = None) -> Tensor | None:
        if compares_samples(self.discriminator) or (self.conditional and y is None):
            return None
        return self.discriminator(x, y if self.conditional else None)

    @property
    def _own(self) -> StyleGAN2Generator:
        assert isinstance(self.generator, StyleGAN2Generator), "checked by `build`"
        return self.generator

    def _labels(self, batch: Batch) -> Tensor | None:
        return batch.labels if self.conditional else None

    def _fakes(self, n: int, y: Tensor | None) -> Tensor:
        return self._own.synthesise(self._styles(n, y))

    def _styles(self, n: int, y: Tensor | None) -> Tensor:
        """Styles [n, layers, style], mixed of two latents from a random layer on."""
        own = self._own
        styles = own.repeated(own.styles(self.prior.sample(n, self.device), y))
        if not self.mixing:
            return styles
        others = own.repeated(own.mapping(self.prior.sample(n, self.device), y))
        # Without a dimension, which could count samples: the parts of a batch share them.
        cut = torch.randint(1, own.inputs, (), device=self.device)
        mixed = torch.rand((), device=self.device) < self.mixing
        layer = torch.arange(own.inputs, device=self.device)
        return torch.where((mixed & (layer >= cut))[None, :, None], others, styles)


class PathMean(nn.Module):
    """The running mean of path lengths, which is part of a run's state."""

    of_samples = ("mean",)
    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
