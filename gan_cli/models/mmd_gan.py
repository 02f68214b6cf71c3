"""A generator that matches moments in a space which is learned (MMD GAN, Li et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from gan_cli.model import Batch, DataSpec, Grid, Loss, Model, Phase
from gan_cli.models.faults import below, refuse
from gan_cli.models.latent_variables import whole
from gan_cli.models.pictures import grids
from gan_cli.networks.family import NetworkFamily
from gan_cli.networks.layers import unrecorded
from gan_cli.priors import Prior


class MMDGAN(Model):
    """min over G, max over f of MMD^2(f(x), f(G(z))) - reconstruction * E|y - h(f(y))|^2 (Eq. 8).

    The kernel is a sum of Gaussian ones; f is an encoder with weights in [-clip, clip] and h its
    decoder, so that f stays injective; y are real samples and fakes. As in Algorithm 1, G minimises
    the MMD and f maximises it with the reconstruction.

    Args:
        data: what is to be generated.
        prior: of the latents.
        network: builds generator, encoder and decoder.
        code: numbers that f gives.
        bandwidths: of the kernels, exp(-|a - b|^2 / (2 s^2)) for each s; 1, 2, 4, 8, 16 there.
        reconstruction: weight of the autoencoder's mean squared error.
        clip: bound of f's weights, .01 in the paper.
        d_steps: updates of f in a step, each with a fresh batch; 5 in the paper.
    """

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        code: int = 64,
        bandwidths: Sequence[float] = (1.0, 2.0, 4.0, 8.0, 16.0),
        reconstruction: float = 8.0,
        clip: float = 0.01,
        d_steps: int = 5,
    ) -> None:
        super().__init__()
        self.data, self.prior = data, prior
        self.code, self.bandwidths = code, tuple(bandwidths)
        self.reconstruction, self.clip, self.d_steps = reconstruction, clip, d_steps
        refuse(self._faults())
        self.whole_batch, self.smallest_batch = ("MMD",), 2
        self.generator = network.generator(prior.dim, data)
        self.generator.set_reference(prior.sample)
        self.encoder = network.encoder(data, code)
        self.decoder = network.generator(code, data)

    def _faults(self) -> Iterator[str]:
        yield from below({"code": self.code, "d_steps": self.d_steps}, 1)
        yield from below({"reconstruction": self.reconstruction}, 0)
        if self.clip <= 0:
            yield f"model.clip = {self.clip:g}: must be above 0"
        if not self.bandwidths or min(self.bandwidths) <= 0:
            yield "model.bandwidths: must be one or more numbers above 0"

    def phases(self) -> list[Phase]:
        return [
            Phase(
                "discriminator",
                self.discriminator_loss,
                (self.encoder, self.decoder),
                repeat=self.d_steps,
                after=self._clip,
            ),
            Phase("generator", self.generator_loss, (self.generator,)),
        ]

    @torch.no_grad()
    def _clip(self) -> None:
        for parameter in self.encoder.parameters():
            parameter.clamp_(-self.clip, self.clip)

    def discriminator_loss(self, batch: Batch) -> Loss:
        """-MMD^2 and what is lost between f and h."""
        real, real_error = self._encoded(batch.real)
        with unrecorded(self):  # running statistics are of real samples alone
            fake, fake_error = self._encoded(self.sample(len(batch)))
        distance = mmd(real, fake, self.bandwidths)
        error = (real_error + fake_error) / 2
        logs = {"mmd": distance.detach(), "squared_error": error.detach()}
        return Loss(self.reconstruction * error - distance, logs)

    def _encoded(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Codes [n, code] and the autoencoder's mean squared error, []."""
        codes = whole(self.encoder(x))
        return codes, (self.decoder(codes) - x).float().square().mean()

    def generator_loss(self, batch: Batch) -> Loss:
        """MMD^2."""
        codes = whole(self.encoder(batch.real)), whole(self.encoder(self.sample(len(batch))))
        return Loss(mmd(*codes, self.bandwidths), {})

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.generator(z)

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        return self.generate(self.prior.sample(n, self.device))

    def reconstruct(self, batch: Batch) -> Tensor:
        return self.decoder(self.encoder(batch.real))

    def averaged(self) -> tuple[nn.Module, ...]:
        return (self.generator,)

    def pictures(self, z: Tensor) -> dict[str, Grid]:
        return grids(self, z)


def mmd(a: Tensor, b: Tensor, bandwidths: Sequence[float]) -> Tensor:
    """The squared maximum mean discrepancy of `a` [n, dim] and `b` [m, dim], unbiased.

    Gretton et al. 2012, Eq. 3, with a sum of Gaussian kernels.
    """

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        # Written out, since the gradient of a distance of 0 is not a number.
        with torch.autocast(x.device.type, enabled=False):
            squared = x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T
        each = [(-squared.clamp_min(0) / (2 * s * s)).exp() for s in bandwidths]
        return torch.stack(each).sum(0)

    n, m, own = len(a), len(b), len(bandwidths)  # a kernel of a sample with itself is 1
    within_a = (kernel(a, a).sum() - n * own) / (n * (n - 1))
    within_b = (kernel(b, b).sum() - m * own) / (m * (m - 1))
    return within_a + within_b - 2 * kernel(a, b).mean()
