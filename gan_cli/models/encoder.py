"""The base of models that encode samples and decode codes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from torch import Tensor

from gan_cli.model import Batch, Grid, Model, View
from gan_cli.models.pictures import between, grids, plane
from gan_cli.priors import Gaussian, Prior


class EncoderModel(Model, ABC):
    """A model with an encoder, and a decoder of codes that are distributed as its prior.

    A new one has `encode` and `decode`, and `observed` where it does not encode the samples
    themselves.
    """

    prior: Prior

    @abstractmethod
    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The codes [n, dim] of samples [n, *shape], or their means where they are drawn."""

    @abstractmethod
    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Samples [n, *shape] of codes [n, dim], or their means where they are drawn."""

    def observed(self, batch: Batch) -> Tensor:
        """The batch's samples [n, *shape] as the encoder sees them."""
        return batch.real

    def labels(self, batch: Batch) -> Tensor | None:
        """The batch's classes [n], for a conditional model."""
        return batch.labels if self.conditional else None

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.decode(z, y)

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        return self.generate(self.prior.sample(n, self.device), y)

    def reconstruct(self, batch: Batch) -> Tensor:
        y = self.labels(batch)
        return self.decode(self.encode(self.observed(batch), y), y)

    def pictures(self, z: Tensor) -> dict[str, Grid]:
        return grids(self, z)

    def views(
        self, real: Batch, log_density: Callable[[Tensor], Tensor | None]
    ) -> Mapping[str, View]:
        """Interpolations between images, and the plane of a Gaussian's two latents."""
        found: dict[str, View] = {}
        if not self.data.is_image:
            return found
        way = between(real, self.encode, self.decode, self.conditional)
        if way is not None:
            found["theory/interpolation"] = way
        if self.prior.dim == 2 and isinstance(self.prior, Gaussian) and not self.conditional:
            found["theory/latent_plane"] = plane(self.generate, self.device)
        return found
