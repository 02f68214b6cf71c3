"""A discriminator against a fixed generator, which estimates a divergence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from torch import Tensor

from gan_cli.losses import AdversarialLoss
from gan_cli.model import Batch, DataSpec, Fields, Lines, Loss, Phase, View
from gan_cli.models.adversarial import DiscriminatorModel
from gan_cli.models.faults import below, refuse
from gan_cli.networks.family import NetworkFamily
from gan_cli.penalties import Penalty

PER_SIDE = {1: 2001, 2: 161}  # cells of each side, by the number of dimensions


@dataclass(frozen=True)
class Cells:
    """The cells of a line or a square, by their middles.

    Attributes:
        points: float32 [cells, D]; on the plane row by row, the row of largest y first.
        volume: of one cell.
        sides: how many cells in each direction, rows first.
    """

    points: Tensor
    volume: float
    sides: tuple[int, ...]

    @classmethod
    def of(cls, dimensions: int, low: float, high: float) -> Cells:
        """Cells of [low, high] in 1 or 2 dimensions."""
        n = PER_SIDE[dimensions]
        width = (high - low) / n
        line = low + width * (torch.arange(n, dtype=torch.float64) + 0.5)
        if dimensions == 1:
            return cls(line[:, None].float(), width, (n,))
        y, x = torch.meshgrid(line.flip(0), line, indexing="ij")
        points = torch.stack([x.flatten(), y.flatten()], dim=1)
        return cls(points.float(), width**2, (n, n))

    def masses(self, log_density: Tensor) -> Tensor:
        """The mass in each cell of a density with this logarithm [cells] at the points; float64."""
        return log_density.double().exp() * self.volume


def value(loss: AdversarialLoss, output: Tensor, p: Tensor, q: Tensor) -> Tensor:
    """D's value, minus its loss, for its `output` [cells] under masses p and q [cells].

    For losses that are a mean over real samples plus a mean over fakes, A(real) + B(fake): these
    are evaluated one at a time, with an output of 0 for the other.
    """
    zero = torch.zeros(1, dtype=output.dtype, device=output.device)
    of_real = torch.func.vmap(lambda v: loss.discriminator(v[None], zero))(output)
    of_fake = torch.func.vmap(lambda v: loss.discriminator(zero, v[None]))(output)
    return loss.discriminator(zero, zero) - (p * of_real).sum() - (q * of_fake).sum()


def steepest(score: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """The largest slope of a function of points [n, D] at any of them."""
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        (slopes,) = torch.autograd.grad(score(points).sum(), points)
    return slopes.norm(dim=1).max()


def wasserstein_1(p: Tensor, q: Tensor, width: float) -> Tensor:
    """The Wasserstein-1 distance of masses [cells] on the line: the area between both F."""
    return (p - q).cumsum(0).abs().sum() * width


def evenly(masses: Tensor, count: int) -> Tensor:
    """The indices [count] of cells at equal quantiles of masses [cells], ascending.

    Two random draws of 1,000 points from one law on the plane are .14 deviations apart; these
    coincide.
    """
    shares = (torch.arange(count, dtype=masses.dtype) + 0.5) / count
    return torch.searchsorted(masses.cumsum(0) / masses.sum(), shares).clamp(max=len(masses) - 1)


Density = Callable[[Tensor], Tensor | None]
MISSING = 5e-3  # of the mass that may lie outside the region
SEEN = 1e-3  # of the highest density; best outputs are drawn where it is exceeded
MATCHED = 1000  # points of each kind for the Wasserstein distance on the plane


class Divergence(DiscriminatorModel):
    """Only the discriminator learns, between the data's p and a fixed q = N(mean, deviation^2).

    Its largest value is 2 JS(p, q) - log 4 in the original game, with D = p / (p + q) (Goodfellow
    et al. 2014, Theorem 1), D_f(p || q) in an f-GAN (Nowozin et al. 2016, Eq. 4), and as a critic
    with slopes up to K it is K times the Wasserstein-1 distance (Arjovsky et al. 2017, Eq. 2).
    `divergence/estimate` is its value as an integral over the region, not a mean over samples,
    for a critic divided by its steepest slope; `divergence/truth` is the largest possible.

    Args:
        data: points on the line or the plane.
        network: builds the discriminator.
        loss: chooses the divergence.
        penalty: what constrains the discriminator.
        truth: log p of points, known where a model is trained.
        mean: of the fixed generator's samples, in every coordinate.
        deviation: theirs.
        d_steps: updates in a step, each with a fresh batch.
        region: [low, high] of each coordinate, over which integrals go; p and q lie in it.
    """

    def __init__(
        self,
        data: DataSpec,
        network: NetworkFamily,
        loss: AdversarialLoss,
        penalty: Penalty,
        truth: Density | None = None,
        mean: float = 0.0,
        deviation: float = 1.0,
        d_steps: int = 1,
        region: tuple[float, float] = (-8.0, 8.0),
    ) -> None:
        super().__init__(data, loss, penalty)
        self.mean, self.deviation, self.d_steps, self.region = mean, deviation, d_steps, region
        refuse(self._faults(network))
        self.warn_of_contradictions(network)
        self.discriminator = self.constrained(network.discriminator(data))
        self.whole_batch = self.whole_batch_terms()
        self.cells = Cells.of(data.shape[0], *region)
        log_p = None if truth is None else truth(self.cells.points)
        if truth is not None:
            refuse(self._misfits(log_p))
        self.register_buffer("points", self.cells.points, persistent=False)
        found = {
            "p": self._masses(log_p),
            "q": self._masses(self._log_q(self.cells.points)),
            "best": None if log_p is None else self._best_value(log_p),
        }
        refuse(self._unbounded(found["best"]))
        for name, values in found.items():  # computed in float64, which MPS lacks
            kept = None if values is None else values.float()
            self.register_buffer(name, kept, persistent=False)

    points: Tensor  # [cells, D]
    p: Tensor | None  # [cells]
    q: Tensor
    best: Tensor | None  # scalar

    def _faults(self, network: NetworkFamily) -> Iterator[str]:
        if self.data.is_image or self.data.shape[0] > 2:
            yield (
                f"data = {self.data.name}: model=divergence needs points of one or two dimensions "
                "whose density is known; use data=gaussian_1d, mixture_1d, ring or grid"
            )
        yield from below({"d_steps": self.d_steps}, 1)
        if self.deviation <= 0:
            yield f"model.deviation = {self.deviation:g}: must be positive"
        if not self.region[0] < self.region[1]:
            shown = ",".join(f"{bound:g}" for bound in self.region)
            yield f"model.region = [{shown}]: must be two numbers, the lower first"
        if self.loss.compares or self.loss.whole_batch:
            yield (
                f"loss: {type(self.loss).__name__} looks at several samples at once, and which "
                "divergence it measures is unknown; use minimax, least_squares, hinge, "
                "wasserstein or an f_ one"
            )
        if network.mixes_samples:
            yield (
                "model = divergence: with minibatch discrimination D's output on a point would "
                "depend on the others; set network.minibatch_discrimination=null"
            )

    def _misfits(self, log_p: Tensor | None) -> Iterator[str]:
        """Faults of the region."""
        if log_p is None:
            yield f"data = {self.data.name}: its density is unknown; use data=mixture_1d or ring"
            return
        low, high = self.region
        for whose, density in (("data", log_p), ("generator", self._log_q(self.cells.points))):
            mass = self.cells.masses(density).sum().item()
            if abs(mass - 1) > MISSING:
                yield (
                    f"model.region = [{low:g},{high:g}]: the {whose}'s density integrates to "
                    f"{mass:.3f} in it, not 1; choose a larger region, or wider peaks"
                )

    def _unbounded(self, best: Tensor | None) -> Iterator[str]:
        """The fault of a divergence without bound."""
        if best is not None and not best.float().isfinite():
            yield (
                f"model.deviation = {self.deviation:g}: {type(self.loss).__name__}'s divergence "
                "from so narrow a generator has no bound; choose a larger one"
            )

    def _log_q(self, x: Tensor) -> Tensor:
        """log q(x) [n] of points [n, D]."""
        z = (x - self.mean) / self.deviation
        normaliser = x.shape[1] * math.log(self.deviation * math.sqrt(2 * math.pi))
        return -0.5 * z.square().sum(1) - normaliser

    def _masses(self, log_density: Tensor | None) -> Tensor | None:
        if log_density is None:
            return None
        mass = self.cells.masses(log_density)
        return mass / mass.sum()

    def _best_value(self, log_p: Tensor) -> Tensor:
        """The largest value of a discriminator, or of a critic with slopes up to 1."""
        p, q = self._masses(log_p), self._masses(self._log_q(self.cells.points))
        assert p is not None
        assert q is not None
        ratio = log_p.double() - self._log_q(self.cells.points).double()
        output = self.loss.best(ratio)
        if output is not None:
            return value(self.loss, output, p, q)
        if len(self.cells.sides) == 1:
            return wasserstein_1(p, q, self.cells.volume)
        places = (evenly(mass, MATCHED) for mass in (p, q))
        real, fake = (self.cells.points[some].double().numpy() for some in places)
        costs = cdist(real, fake)
        return torch.tensor(costs[linear_sum_assignment(costs)].mean())

    def phases(self) -> list[Phase]:
        return self.discriminator_phases(self.loss.player, (self.discriminator,), self.d_steps)

    def discriminator_loss(self, batch: Batch) -> Loss:
        """Tell p from q."""
        game = super().discriminator_loss(batch)
        return game._replace(logs={**game.logs, **self._estimates()})

    def _estimates(self) -> dict[str, Tensor]:
        """The estimate beside the truth."""
        if self.p is None or self.best is None:
            return {}
        with torch.no_grad():
            found = value(self.loss, self.discriminator(self.points), self.p, self.q)
        logs = {"divergence/truth": self.best}
        if self.loss.unbounded:
            slope = steepest(self.discriminator, self.points)
            logs["divergence/steepest_slope"] = slope
            found = found / slope.clamp_min(torch.finfo(slope.dtype).tiny)
        return {"divergence/estimate": found, **logs}

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        size = (n, *self.data.shape)
        return self.mean + self.deviation * torch.randn(size, device=self.device)

    def views(
        self, real: Batch, log_density: Callable[[Tensor], Tensor | None]
    ) -> Mapping[str, View]:
        """D's output beside the best one, over the region."""
        log_p, log_q = log_density(self.points), self._log_q(self.points)
        if log_p is None:
            return {}
        ours, best = self._shown(log_p, log_q)
        if len(self.cells.sides) == 2:
            (low, high), sides = self.region, self.cells.sides
            fields = {name: field.view(sides) for name, field in (ours | best).items()}
            return {"theory/output": Fields((low, low), (high, high), fields, self.score_name)}
        return {"theory/output": Lines(self.points[:, 0], ours | best)}

    def _shown(self, log_p: Tensor, log_q: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Our output and the best one by name, as probabilities or critics if they are."""
        ours, best = self.discriminator(self.points), self.loss.best(log_p - log_q)
        if best is None:
            slope = steepest(self.discriminator, self.points)
            ours = ours / slope.clamp_min(torch.finfo(slope.dtype).tiny)
            name = {"critic, by its steepest slope": ours - ours.mean()}
            return name, self._potential()
        if self.loss.probabilistic:
            return {"D": ours.sigmoid()}, {"p / (p + q)": best.sigmoid()}
        density = log_p.exp() + log_q.exp()
        there = density > SEEN * density.max()
        best = best.clamp(best[there].min(), best[there].max())
        low, high = best.min(), best.max()
        margin = 0.25 * (high - low).clamp_min(1e-3)
        return {"output of D": ours.clamp(low - margin, high + margin)}, {"best output": best}

    def _potential(self) -> dict[str, Tensor]:
        """The best critic on the line: its slope is +1 or -1, as mass moves (Vallender 1974)."""
        if self.p is None or len(self.cells.sides) == 2:
            return {}
        surplus = (self.q - self.p).cumsum(0)  # of q's mass on the left
        slopes = torch.where(surplus.abs() > SEEN, surplus.sign(), torch.zeros_like(surplus))
        path = slopes.cumsum(0) * self.cells.volume
        return {"best critic": path - path.mean()}
