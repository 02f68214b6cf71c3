"""The discriminator alone generates: an energy model (LeCun et al. 2006; Du and Mordatch 2019)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from gan_cli.losses import AdversarialLoss
from gan_cli.model import Batch, DataSpec, Fields, Grid, Lines, Loss, Phase, View
from gan_cli.models.adversarial import DiscriminatorModel
from gan_cli.models.faults import below, refuse
from gan_cli.networks.family import NetworkFamily
from gan_cli.penalties import Penalty

Score = Callable[[Tensor], Tensor]  # samples [n, *shape] to unnormalised log-densities [n]


@dataclass(frozen=True)
class Langevin:
    """x <- x + step_size / 2 * grad f(x) + noise * sqrt(step_size) * standard normals.

    With `noise` 1 the chain's law tends to exp f as the steps become small (Welling and Teh 2011);
    with another c it is the chain of f / c^2 with steps c^2 as long, so its law tends to
    exp(f / c^2). Samples stay in the cube [-bound, bound]^D.

    Args:
        step_size: above 0.
        noise: 0 leaves the ascent alone.
        bound: half the cube's side.
        reflect: reflect at the sides, which leaves exp f on the cube unchanged; false: clamp to
            them (images, Du and Mordatch 2019).
        clip: largest absolute value of an entry of the gradient; None for no limit.
    """

    step_size: float
    noise: float
    bound: float
    reflect: bool
    clip: float | None = None

    def __call__(self, score: Score, x: Tensor, steps: int) -> Tensor:
        """The chains that begin at `x` [n, *shape] after `steps` steps, detached.

        In fp32 whatever the precision of the rest; no weight of `score` gets a gradient.
        """
        spread = self.noise * math.sqrt(self.step_size)
        with torch.autocast(x.device.type, enabled=False), torch.enable_grad():
            x = x.detach().float()
            for _ in range(steps):
                x = x.requires_grad_()
                (gradient,) = torch.autograd.grad(score(x).sum(), x)
                if self.clip is not None:
                    gradient = gradient.clamp(-self.clip, self.clip)
                x = x.detach() + self.step_size / 2 * gradient + spread * torch.randn_like(x)
                x = self._held(x)
        return x.detach()

    def _held(self, x: Tensor) -> Tensor:
        if not self.reflect:
            return x.clamp(-self.bound, self.bound)
        around = (x + self.bound).remainder(4 * self.bound)  # there and back is one round
        return self.bound - (around - 2 * self.bound).abs()


@contextmanager
def at_rest(network: nn.Module) -> Iterator[None]:
    """Put the network in eval mode meanwhile, so that its statistics do not change."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


class ReplayBuffer(nn.Module):
    """Samples at which earlier chains ended and later ones begin (Tieleman 2008).

    They are a buffer, so they are part of a run's state.

    Args:
        size: how many.
        shape: of one.
        bound: they begin uniform on [-bound, bound].
    """

    samples: Tensor  # [size, *shape]

    def __init__(self, size: int, shape: tuple[int, ...], bound: float) -> None:
        super().__init__()
        self.bound = bound
        self.register_buffer("samples", bound * (2 * torch.rand(size, *shape) - 1))

    def noise(self, n: int) -> Tensor:
        """Where new chains begin: uniform, [n, *shape]."""
        like = self.samples
        return self.bound * (2 * torch.rand(n, *like.shape[1:], device=like.device) - 1)

    def draw(self, n: int) -> Tensor:
        """`n` of the samples at random, [n, *shape], some of them more than once."""
        places = torch.randint(len(self.samples), (n,), device=self.samples.device)
        return self.samples[places]

    def start(self, n: int, restart: float) -> tuple[Tensor, Tensor]:
        """Where `n` chains begin, [n, *shape], and the places [n] that are theirs, no two alike.

        Each begins anew from noise with probability `restart` (Du and Mordatch 2019, section 3.2:
        .05), else where the chain before it ended.
        """
        places = torch.rand(len(self.samples), device=self.samples.device).argsort()[:n]
        kept = self.samples[places]
        anew = torch.rand(n, *[1] * (kept.dim() - 1), device=kept.device) < restart
        return torch.where(anew, self.noise(n), kept), places

    @torch.no_grad()
    def put(self, places: Tensor, samples: Tensor) -> None:
        """Store the ends of the chains from these places [n]."""
        self.samples[places] = samples


CELLS = {1: 4096, 2: 256}  # a side of the quadrature, by dimension
CHAINS, MOMENTS = 8, 10  # rows and columns of the picture of chains


class EnergyModel(DiscriminatorModel):
    """p(x) = exp f(x) / Z, where f is the discriminator's output and -f the energy.

    An update makes negatives by climbing f with Langevin dynamics from a replay buffer, then
    trains f to tell real samples from them. With loss=wasserstein the gradient is that of the
    likelihood, E[grad f(x)] over the model less that over the data (Hinton 2002, Eq. 2), as far
    as the chains have arrived.

    Args:
        data: what is to be generated.
        network: builds the discriminator.
        loss: what it minimises.
        penalty: what constrains it.
        batch_size: negatives of an update; as many as real samples.
        langevin_steps: steps of the chains in an update.
        step_size: of the dynamics; the gradient is taken half as long.
        noise: factor of the dynamics' noise. What is learned is exp(f / noise^2), and published
            models of images have far less than 1. In terms of ours and of images in [-1, 1], the
            authors' code of Du and Mordatch 2019 has .0011 with steps of 80 and a clip of .005
            (CIFAR-10: noise .005, steps of 10 and a clip of .01 on [0, 1]); that of Nijkamp et al.
            2019 .0071 with steps of 2 (noise .01 and a whole gradient).
        gradient_clip: largest absolute value of an entry of the gradient in the dynamics.
        buffer_size: chains that are kept.
        restart: share of an update's chains that begin anew from noise.
        bound: points stay in [-bound, bound]^D, as from mirrors; images in [-1, 1], cut off.
        data_noise: deviation of the noise on real samples (the code of Nijkamp et al. 2019: .03).
        energy_weight: of the mean square of the outputs, which holds f near 0 (Du and Mordatch
            2019, section 3.3).
        sample_from: samples begin in the buffer, or in noise, from where they have a longer way.
        sample_steps: steps that they make from there.
    """

    indivisible = "each part of it would have a replay buffer of its own"

    def __init__(
        self,
        data: DataSpec,
        network: NetworkFamily,
        loss: AdversarialLoss,
        penalty: Penalty,
        batch_size: int,
        langevin_steps: int = 40,
        step_size: float = 0.01,
        noise: float = 1.0,
        gradient_clip: float | None = None,
        buffer_size: int = 2048,
        restart: float = 0.05,
        bound: float = 8.0,
        data_noise: float = 0.0,
        energy_weight: float = 0.0,
        sample_from: Literal["buffer", "noise"] = "buffer",
        sample_steps: int = 40,
    ) -> None:
        super().__init__(data, loss, penalty)
        self.score_name = "-energy"
        self.langevin_steps, self.sample_steps = langevin_steps, sample_steps
        self.restart, self.data_noise, self.energy_weight = restart, data_noise, energy_weight
        self.sample_from, self.buffer_size = sample_from, buffer_size
        self.bound = 1.0 if data.is_image else bound
        self.dynamics = Langevin(
            step_size, noise, self.bound, reflect=not data.is_image, clip=gradient_clip
        )
        refuse(self._faults(network, batch_size))
        self.discriminator = self.constrained(network.discriminator(data))
        self.replay = ReplayBuffer(buffer_size, data.shape, self.bound)
        self.whole_batch = self.whole_batch_terms()

    def _faults(self, network: NetworkFamily, batch_size: int) -> Iterator[str]:
        yield from below({"langevin_steps": self.langevin_steps}, 1)
        weights = ("sample_steps", "data_noise", "energy_weight")
        yield from below({name: getattr(self, name) for name in weights}, 0)
        yield from below({"noise": self.dynamics.noise}, 0)
        positive = {"step_size": self.dynamics.step_size, "bound": self.bound}
        positive["gradient_clip"] = 1.0 if self.dynamics.clip is None else self.dynamics.clip
        for name, value in positive.items():
            if not 0 < value < math.inf:
                yield f"model.{name} = {value:g}: must be a number above 0"
        if not 0 <= self.restart <= 1:
            yield f"model.restart = {self.restart:g}: must lie in [0, 1]"
        if self.buffer_size < batch_size:
            yield (
                f"model.buffer_size = {self.buffer_size}: must be at least batch_size = "
                f"{batch_size}, as every chain of an update has a place of its own"
            )
        if network.mixes_samples:
            yield (
                "model = energy: with batch norm or minibatch discrimination a sample's energy "
                "would depend on the others; set network.discriminator_norm=none or layer and "
                "network.minibatch_discrimination=null"
            )

    def phases(self) -> list[Phase]:
        return self.discriminator_phases("energy", (self.discriminator, self.replay))

    def discriminator_loss(self, batch: Batch) -> Loss:
        """Tell real samples from the ends of the chains."""
        samples = self.pair(batch)
        outputs = self.outputs(samples)
        game = self.compare(samples, outputs)
        if not self.energy_weight:
            return game
        squares = outputs[0].square().mean() + outputs[1].square().mean()
        logs = {**game.logs, "output/squares": squares.detach()}
        return Loss(game.total + self.energy_weight * squares, logs, game.outputs)

    def pair(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return self._real(batch), self.negatives(len(batch))

    def penalty_loss(self, batch: Batch) -> Loss:
        """The penalty alone, for lazy regularisation, on samples of the buffer."""
        fake = self.replay.draw(len(batch))
        return self.lazy_penalty(self.discriminator, self._real(batch), fake)

    def _real(self, batch: Batch) -> Tensor:
        if not self.data_noise:
            return batch.real
        return batch.real + self.data_noise * torch.randn_like(batch.real)

    def negatives(self, n: int) -> Tensor:
        """The ends of `n` chains [n, *shape], which are kept in the buffer."""
        start, places = self.replay.start(n, self.restart)
        fake = self.climb(start, self.langevin_steps)
        self.replay.put(places, fake)
        return fake

    def climb(self, x: Tensor, steps: int) -> Tensor:
        """The ends of chains from `x` [n, *shape] after `steps` steps."""
        with at_rest(self.discriminator):
            return self.dynamics(self.discriminator, x, steps)

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        start = self.replay.noise(n) if self.sample_from == "noise" else self.replay.draw(n)
        return self.climb(start, self.sample_steps)

    def averaged(self) -> tuple[nn.Module, ...]:
        return (self.discriminator,)

    def likelihood(self, batch: Batch, samples: int) -> Mapping[str, Tensor]:
        """Exact up to quadrature, for points of one or two dimensions."""
        if not self._integrable:
            return {}
        x = batch.real
        inside = (x.abs() <= self.bound).all(1)
        known = self._log_potential(x) - self._log_normaliser()
        return {"log_likelihood": known.masked_fill(~inside.cpu(), -math.inf)}

    @property
    def _integrable(self) -> bool:
        """Whether the chains' limit is a density of few enough dimensions to integrate."""
        return not self.data.is_image and self.data.shape[0] in CELLS and self.dynamics.noise > 0

    def _log_potential(self, x: Tensor) -> Tensor:
        """log p(x) + log Z, float64 [n] on the CPU, of the chains' limit."""
        return self.discriminator(x).cpu().double() / self.dynamics.noise**2

    def _cells(self) -> Tensor:
        """The middles of the quadrature's cells, [cells^D, D]; rows of a plane from the top."""
        dim = self.data.shape[0]
        cells = CELLS[dim]
        middles = (torch.arange(cells, device=self.device) + 0.5) / cells * 2 - 1
        if dim == 1:
            return self.bound * middles[:, None]
        down, across = torch.meshgrid(-middles, middles, indexing="ij")
        return self.bound * torch.stack([across, down], dim=-1).flatten(0, 1)

    def _log_normaliser(self) -> Tensor:
        """log Z over the cube, by the midpoint rule; a scalar."""
        potential = self._log_potential(self._cells())
        return (
            potential.logsumexp(0)
            + math.log((2 * self.bound) ** self.data.shape[0])
            - math.log(len(potential))
        )

    def views(self, real: Batch, log_density: Callable[[Tensor], Tensor | None]) -> dict[str, View]:
        if self.data.is_image:
            return self._images(len(real))
        return self._densities(log_density) if self._integrable else {}

    def _images(self, n: int) -> dict[str, View]:
        """Samples, samples of the buffer, and chains that begin in noise."""
        way = max(MOMENTS, round(self.langevin_steps / max(self.restart, 0.01)))
        marks = [round(way ** (k / (MOMENTS - 1))) for k in range(MOMENTS)]
        moments = [self.replay.noise(CHAINS)]
        for before, after in zip([0, *marks], marks, strict=False):
            moments.append(self.climb(moments[-1], after - before))
        return {
            "samples/random": Grid(self.sample(n), 8),
            "samples/buffer": Grid(self.replay.draw(n), 8),
            "samples/chains": Grid(torch.stack(moments, dim=1).flatten(0, 1), len(moments)),
        }

    def _densities(self, log_density: Callable[[Tensor], Tensor | None]) -> dict[str, View]:
        """The model's normalised density beside the true one, where that is known."""
        x = self._cells()
        truth = log_density(x)
        curves = {} if truth is None else {"truth": truth.exp()}
        curves["exp f / Z"] = (self._log_potential(x) - self._log_normaliser()).exp().to(x.dtype)
        if x.shape[1] == 1:
            return {"theory/density": Lines(x[:, 0], curves)}
        side = CELLS[2]
        corner = (self.bound, self.bound)
        fields = {name: values.view(side, side) for name, values in curves.items()}
        return {"theory/density": Fields((-corner[0], -corner[1]), corner, fields, "p(x)")}
