"""Generators that need no training, since they are told the truth or a falsehood."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from gan_cli.data.dataset import Dataset
from gan_cli.model import Model, Phase
from gan_cli.priors import Gaussian


class Pretender(Model):
    """Decodes latents by a plain function of (latents, labels)."""

    def __init__(
        self,
        data: Dataset,
        decode: Callable[[Tensor, Tensor | None], Tensor],
        latents: int = 4,
        conditional: bool = False,
    ) -> None:
        super().__init__()
        self.data, self.prior, self.conditional = data.spec, Gaussian(latents), conditional
        self.decode, self.none = decode, nn.Linear(1, 1)  # so that it has a device

    def phases(self) -> list[Phase]:
        return []

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.decode(z, y)

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        return self.generate(self.prior.sample(n), y)
