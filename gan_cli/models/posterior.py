"""q(z | x) of an encoder: a Gaussian with a mean and a deviation for each latent."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gan_cli.models.likelihoods import gaussian_log_likelihood, whole

ACTIVE = 0.01  # least variance of an active unit's mean (Burda et al. 2016, section 5.2)


def log_prior(z: Tensor) -> Tensor:
    """log N(z; 0, I) of `z` [..., dim], in nats."""
    return gaussian_log_likelihood(z, torch.zeros_like(z), torch.zeros_like(z)).sum(-1)


@dataclass(frozen=True)
class Posterior:
    """Of n samples."""

    mean: Tensor  # [n, dim]
    log_deviation: Tensor  # [n, dim]

    @classmethod
    def of(cls, outputs: Tensor) -> Posterior:
        """From an encoder's outputs [n, 2 dim]; in fp32, whatever the networks compute in."""
        return cls(*whole(outputs).chunk(2, dim=1))

    def sample(self, count: int) -> Tensor:
        """Latents [n, count, dim], reparametrised (Kingma and Welling 2014, section 2.4)."""
        n, dim = self.mean.shape
        noise = torch.randn(n, count, dim, device=self.mean.device, dtype=self.mean.dtype)
        return self.mean[:, None] + self.log_deviation.exp()[:, None] * noise

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z | x) in nats, [n, count], of latents [n, count, dim]."""
        mean, log_deviation = self.mean[:, None], self.log_deviation[:, None]
        return gaussian_log_likelihood(z, mean, log_deviation).sum(-1)

    def kl(self) -> Tensor:
        """KL(q || N(0, I)) in nats, [n] (Kingma and Welling 2014, appendix B)."""
        variance = (2 * self.log_deviation).exp()
        return 0.5 * (self.mean.square() + variance - 1 - 2 * self.log_deviation).sum(1)

    def active(self) -> Tensor:
        """How many latents say something of the sample: their mean varies from one to the next."""
        return (self.mean.var(0, correction=0) > ACTIVE).sum().float()
