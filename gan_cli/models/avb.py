"""Adversarial variational Bayes (Mescheder et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, softplus

from gan_cli.model import Batch, DataSpec, Loss, Phase
from gan_cli.models.encoder import EncoderModel
from gan_cli.models.faults import below, not_normal, refuse
from gan_cli.models.latent_variables import (
    APART,
    NONE,
    Centring,
    Gaussian,
    binarised,
    log_prior,
    not_binary,
    observation,
    whole,
)
from gan_cli.networks.family import NetworkFamily, joint
from gan_cli.priors import Prior

NOISE = 1e-4  # added to variances before their root is taken (the authors' code)
CLOSED = 5.0  # subtracted from the noises' weights, which so begin near 0 (the authors' code)


class NoiseBasis(nn.Module):
    """z = m(x) + sum_i a_i(x) v_i(eps_i): latents that are no Gaussian's (section 6.1 there).

    Args:
        basis: how many v_i.
        noise: size of each eps_i, a standard normal.
        dim: of the latents.
        width: units of the three hidden layers of each v_i.
    """

    def __init__(self, basis: int, noise: int, dim: int, width: int = 128) -> None:
        super().__init__()
        self.basis, self.noise = basis, noise
        self.parts = nn.ModuleList(
            nn.Sequential(
                *(nn.Linear(noise, width), nn.ELU(), nn.Linear(width, width), nn.ELU()),
                *(nn.Linear(width, width), nn.ELU(), nn.Linear(width, dim)),
            )
            for _ in range(basis)
        )

    def forward(self, outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A draw of z, and its mean and variance given x, each [n, dim].

        Args:
            outputs: the encoder's, [n, (1 + basis) dim]: m and the a_i. The moments of each v_i
                are those of the batch.
        """
        z, *weights = whole(outputs).chunk(1 + self.basis, dim=1)
        mean, variance = z, torch.zeros_like(z)
        for part, weight in zip(self.parts, weights, strict=True):
            weight = elu(weight - CLOSED) + 1
            eps = torch.randn(len(z), self.noise, device=z.device, dtype=z.dtype)
            v = whole(part(eps))
            z = z + weight * v
            mean = mean + weight * v.mean(0)
            variance = variance + weight.square() * v.var(0, correction=0)
        return z, mean, variance


class AVB(EncoderModel):
    """A VAE whose q(z | x) needs no density: a discriminator T(x, z) learns the ratio to it.

    T* = log q(z | x) - log p(z) separates pairs (x, z ~ q) from pairs (x, z ~ p) best (Eqs. 3.3
    and 3.4), so encoder and decoder raise E[-T(x, z) + log p(x | z)] (Eq. 3.5). With `contrast`
    (adaptive contrast, section 5) T compares q, made standard by its own mean and deviation, with
    a standard normal r, and the KL is E[T + log r(z | x) - log p(z)].

    Args:
        data: what is to be modelled.
        prior: of the latents; a standard normal.
        network: builds decoder, encoder and the discriminator of pairs.
        likelihood: p(x | z): "bernoulli" (images), "gaussian", or "auto".
        deviation: of the Gaussian; None to learn it.
        binarise: "none", or pixels drawn black or white, "dynamic" or "fixed".
        contrast: adaptive contrast.
        basis: noise vectors that are added to a latent.
        noise: size of each.
        d_steps: discriminator updates in a step, each with a fresh batch.
    """

    indivisible = APART

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        likelihood: str = "auto",
        deviation: float | None = None,
        binarise: str = NONE,
        contrast: bool = True,
        basis: int = 4,
        noise: int = 16,
        d_steps: int = 1,
    ) -> None:
        super().__init__()
        self.data, self.prior, self.binarise = data, prior, binarise
        self.contrast, self.d_steps, self.basis_size, self.noise = contrast, d_steps, basis, noise
        observed = observation(data, likelihood, deviation)
        refuse(self._faults(isinstance(observed, Gaussian)))
        self.centring = Centring(data.shape)
        self.encoder = network.encoder(data, (1 + basis) * prior.dim)
        self.basis = NoiseBasis(basis, noise, prior.dim)
        self.decoder = network.generator(prior.dim, data)
        self.decoder.set_reference(prior.sample)
        self.observation = observed
        self.discriminator = network.joint_discriminator(data, prior.dim)

    def _faults(self, gaussian: bool) -> Iterator[str]:
        yield from not_normal(self.prior, "the bound is written for a standard normal")
        yield from not_binary(self.binarise, gaussian)
        sizes = {"basis": self.basis_size, "noise": self.noise, "d_steps": self.d_steps}
        yield from below(sizes, 1)

    def phases(self) -> list[Phase]:
        vae = (self.centring, self.encoder, self.basis, self.decoder, self.observation)
        ratio = (self.discriminator,)
        return [
            Phase("vae", self.loss, vae),
            Phase("discriminator", self.discriminator_loss, ratio, repeat=self.d_steps),
        ]

    def loss(self, batch: Batch) -> Loss:
        """Minus the bound, in nats per sample; as good as the discriminator is."""
        x = self.observed(batch)
        z, ratio = self._ratio(x, record=True)
        reconstruction = self.observation.log_prob(x, self.decoder.raw(z)).mean()
        kl = ratio.mean()
        logs = {
            "elbo": (reconstruction - kl).detach(),
            "reconstruction": reconstruction.detach(),
            "kl": kl.detach(),
        }
        return Loss(kl - reconstruction, logs)

    def _ratio(self, x: Tensor, record: bool = False) -> tuple[Tensor, Tensor]:
        """A draw z of q(z | x), [n, prior.dim], and T's estimate of log q(z | x) / p(z), [n]."""
        z, standard, log_jacobian = self._drawn(x, record)
        ratio = self.discriminator(joint(x, standard))
        if not self.contrast:
            return z, ratio
        return z, ratio + log_prior(standard) - log_jacobian - log_prior(z)

    def _drawn(self, x: Tensor, record: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """z ~ q(z | x); that z made standard, as T sees it; and the log of what it was divided by.

        The moments that it is made standard by are constants, as in the authors' code.
        """
        z, mean, variance = self.basis(self.encoder(self.centring(x, record)))
        if not self.contrast:
            return z, z, z.new_zeros(len(z))
        deviation = (variance.detach() + NOISE).sqrt()
        return z, (z - mean.detach()) / deviation, deviation.log().sum(1)

    def discriminator_loss(self, batch: Batch) -> Loss:
        """Tell latents of the encoder from standard normals, beside their sample."""
        x = self.observed(batch)
        standard = self._drawn(x)[1]
        ours = self.discriminator(joint(x, standard))
        theirs = self.discriminator(joint(x, torch.randn_like(standard)))
        total = softplus(-ours).mean() + softplus(theirs).mean()
        hits = ((ours > 0).float().mean() + (theirs < 0).float().mean()) / 2
        return Loss(total, {"accuracy/all": hits})

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The mean of q(z | x), [n, prior.dim], without the noises' mean, which is a constant."""
        return whole(self.encoder(self.centring(x, record=False)))[:, : self.prior.dim]

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.observation.mean(self.decoder.raw(z))

    def averaged(self) -> tuple[nn.Module, ...]:
        return (self.centring, self.encoder, self.basis, self.decoder, self.observation)

    def observed(self, batch: Batch) -> Tensor:
        return binarised(batch.real, batch.index, self.binarise)
