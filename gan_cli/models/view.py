"""What a discriminator sees of samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from gan_cli.augment import POLICIES, augment
from gan_cli.errors import ConfigError
from gan_cli.model import Batch, DataSpec


class View:
    """Samples, real and fake alike, as the discriminator sees them in every loss and penalty.

    First augmented (Zhao et al. 2020, Fig. 4), then blurred by noise (Sonderby et al. 2017;
    Arjovsky and Bottou 2017, section 3), then packed (Lin et al. 2018, section 2).
    What a penalty measures is the slope of the discriminator with respect to this view.

    Args:
        data: what is to be generated.
        packing: samples that the discriminator judges together (m in PacGAN), channels or
            coordinates side by side.
        noise: deviation of the Gaussian noise.
        noise_steps: steps over which the deviation falls linearly to 0; null: it never falls.
        augmentations: policies of `gan_cli.augment`, in the order of their use.

    Raises:
        ConfigError: the settings cannot be.
    """

    def __init__(
        self,
        data: DataSpec,
        packing: int = 1,
        noise: float = 0.0,
        noise_steps: int | None = None,
        augmentations: Sequence[str] = (),
    ) -> None:
        self.packing, self.noise, self.noise_steps = packing, noise, noise_steps
        self.augmentations = tuple(augmentations)
        faults = list(self._faults(data))
        if faults:
            raise ConfigError("\n".join(faults))
        # What the discriminator is to be built for.
        self.data = replace(data, shape=(packing * data.shape[0], *data.shape[1:]))

    def _faults(self, data: DataSpec) -> Iterator[str]:
        if self.packing < 1:
            yield f"model.packing = {self.packing}: must be at least 1"
        if self.noise < 0:
            yield f"model.instance_noise = {self.noise}: must not be negative"
        if self.noise_steps is not None and self.noise_steps < 1:
            steps = self.noise_steps
            yield f"model.instance_noise_steps = {steps}: must be at least 1, or null for ever"
        shown = f"model.augment = [{','.join(self.augmentations)}]"
        if any(policy not in POLICIES for policy in self.augmentations):
            yield f"{shown}: must be a list of some of {', '.join(POLICIES)}"
        elif self.augmentations and not data.is_image:
            yield f"{shown}: works on images, and {data.name} holds points; set model.augment=[]"

    def deviation(self, batch: Batch) -> float:
        """Of the noise at the batch's step, which is asked for only where it matters."""
        if not self.noise or self.noise_steps is None:
            return self.noise
        return self.noise * max(0.0, 1.0 - batch.step / self.noise_steps)

    def __call__(self, x: Tensor, batch: Batch) -> Tensor:
        """Samples [n, *shape] of a batch's step as [n / packing, packing * channels, ...]."""
        x = augment(x, self.augmentations)
        deviation = self.deviation(batch)
        if deviation:
            x = x + deviation * torch.randn_like(x)
        if self.packing == 1:
            return x
        return x.reshape(len(x) // self.packing, -1, *x.shape[2:])
