"""Samples as a discriminator sees them: augmented, blurred and packed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from gan_cli.adaptive_augmentation import AdaptiveAugmentation
from gan_cli.augment import POLICIES, augment
from gan_cli.model import Batch, DataSpec
from gan_cli.models.faults import below, refuse


class DiscriminatorView:
    """Samples, real and fake alike, as the discriminator sees them in every loss and penalty.

    First augmented (Zhao et al. 2020, Fig. 4), then blurred by noise (Sonderby et al. 2017;
    Arjovsky and Bottou 2017, section 3), then packed (Lin et al. 2018, section 2).
    A penalty on gradients takes them with respect to this view, unless it is augmented adaptively.

    Args:
        data: what is to be generated.
        packing: samples that the discriminator sees as one (m in PacGAN), channels or
            coordinates side by side.
        noise: deviation of the Gaussian noise.
        noise_steps: steps over which the deviation falls linearly to 0; null: it never falls.
        augmentations: policies of `gan_cli.augment`, in the order of their use.
        adaptive: a pipeline of augmentations after these (Karras et al. 2020).

    Raises:
        ConfigError: lists every fault of the settings.
    """

    def __init__(
        self,
        data: DataSpec,
        packing: int = 1,
        noise: float = 0.0,
        noise_steps: int | None = None,
        augmentations: Sequence[str] = (),
        adaptive: AdaptiveAugmentation | None = None,
    ) -> None:
        self.adaptive = adaptive
        self.packing, self.noise, self.noise_steps = packing, noise, noise_steps
        self.augmentations = tuple(augmentations)
        refuse(self._faults(data))
        # The discriminator is built for this.
        self.data = replace(data, shape=(packing * data.shape[0], *data.shape[1:]))

    def _faults(self, data: DataSpec) -> Iterator[str]:
        yield from below({"packing": self.packing}, 1)
        yield from below({"instance_noise": self.noise}, 0)
        if self.noise_steps is not None and self.noise_steps < 1:
            steps = self.noise_steps
            yield f"model.instance_noise_steps = {steps}: must be at least 1, or null for no end"
        shown = f"model.augment = [{','.join(self.augmentations)}]"
        if any(policy not in POLICIES for policy in self.augmentations):
            yield f"{shown}: must be a list of some of {', '.join(POLICIES)}"
        elif self.augmentations and not data.is_image:
            yield f"{shown}: works on images, and {data.name} holds points; set model.augment=[]"

    def deviation(self, batch: Batch) -> float:
        """The noise's deviation at the batch's step, which is read only if it falls."""
        if not self.noise or self.noise_steps is None:
            return self.noise
        return self.noise * max(0.0, 1.0 - batch.step / self.noise_steps)

    def __call__(self, x: Tensor, batch: Batch) -> Tensor:
        """Samples [n, *shape] of a batch's step as [n / packing, packing * channels, ...]."""
        x = augment(x, self.augmentations)
        if self.adaptive is not None:
            if self.adaptive.scheduled:
                self.adaptive.set_step(batch.step)
            x = self.adaptive(x)
        deviation = self.deviation(batch)
        if deviation:
            x = x + deviation * torch.randn_like(x)
        return self.pack(x)

    def pack(self, x: Tensor) -> Tensor:
        """Samples [n, channels, ...] as packs [n / packing, packing * channels, ...]."""
        if self.packing == 1:
            return x
        return x.reshape(len(x) // self.packing, -1, *x.shape[2:])

    def unpack(self, x: Tensor) -> Tensor:
        """The samples [n, channels, ...] of packs."""
        if self.packing == 1:
            return x
        return x.reshape(len(x) * self.packing, -1, *x.shape[2:])
