"""Better samples by the discriminator: rejection (DRS), and Langevin dynamics of latents (DDLS).

Both need log p_data(x) / p_model(x). A discriminator at its optimum outputs it; a real one, of any
loss, is brought to it by a line that is fitted to tell real samples from generated ones (logistic
regression, Platt 1999, as Azadi et al. 2019 and Turner et al. 2019 calibrate theirs).

Refined samples are made by their latents, so sample i of a seed is the same whatever their number.
"""

from __future__ import annotations

import argparse
import logging
import math
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gan_cli.config.instantiate import build
from gan_cli.data.dataset import Dataset
from gan_cli.errors import ConfigError, UserError
from gan_cli.formatting import percent
from gan_cli.model import Model, Scores
from gan_cli.priors import Categorical, Prior, Product
from gan_cli.runs.load import Loaded
from gan_cli.sampling.latents import CHUNK, prior_of
from gan_cli.sampling.samples import SampleRequest, decode, labels, latents
from gan_cli.seeding import mix

log = logging.getLogger(__name__)
KINDS = ("drs", "ddls")
KNOWN = 2048  # samples of each kind that the line is fitted to
FIT, REAL, NOISE, CHOICE = 0xF17, 0x5EA1, 0x01CE, 0xC401  # random streams
RIDGE = 1e-3  # on the line, so that it is finite where the discriminator is never wrong
PERCENTILE = 0.8  # of F in DRS, at which half are accepted
EPSILON = 1e-14  # of F, as in Azadi et al. 2019
STEPS, STEP_SIZE = 100, 0.01
GRID, POINTS = 64, 2000  # samples, where no number is given
MOST_CHUNKS = 2000  # without an accepted sample of a class


@dataclass(frozen=True)
class LogRatio:
    """log p_data(x) / p_model(x), as a line of the discriminator's output.

    Attributes:
        model: whose discriminator it is, in eval mode.
        slope: of the line.
        offset: of the line.
        accuracy: how often a real sample's output exceeds a generated one's (AUC).
    """

    model: Model
    slope: float
    offset: float
    accuracy: float

    def __call__(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The ratio [n] of samples on the model's device, in nats."""
        return self.slope * scores(self.model, x, y) + self.offset


def scores(model: Model, x: Tensor, y: Tensor | None = None) -> Tensor:
    """The discriminator's outputs [n], float32.

    Raises:
        ConfigError: the model has none that scores samples one by one.
    """
    found = model.score(x, y) if isinstance(model, Scores) else None
    if found is None:
        raise ConfigError(
            f"{type(model).__name__} has no discriminator that scores samples one by one; with "
            "packing, minibatch discrimination or deviation (network.group) it needs several"
        )
    return found.float()


@torch.no_grad()
def log_ratio(model: Model, data: Dataset, known: int = KNOWN) -> LogRatio:
    """Fit a discriminator's output to real and generated samples.

    Args:
        model: in eval mode, that decodes latents.
        data: what it was trained on.
        known: samples of each kind.

    Raises:
        ConfigError: the model has no such discriminator, or it takes generated samples for real.
    """
    generator = torch.Generator().manual_seed(mix(REAL))
    places = torch.randperm(data.spec.size, generator=generator)[:known]
    real, fake = [], []
    for some in places.split(CHUNK):
        y = data.labels(some.to(data.device)) if model.conditional else None
        x = data.real(some.to(data.device)).to(model.device)
        real.append(scores(model, x, None if y is None else y.to(model.device)))
    for number in range(-(-known // CHUNK)):
        _, x, y = proposals(model, SampleRequest(mix(FIT)), number)
        fake.append(scores(model, x, y))
    return fitted(model, torch.cat(real).cpu().double(), torch.cat(fake).cpu().double())


def fitted(model: Model, real: Tensor, fake: Tensor) -> LogRatio:
    """The line through the outputs on real and generated samples, float64 [n] and [m].

    Raises:
        ConfigError: it falls.
    """
    order = torch.cat([real, fake]).argsort().argsort().double() + 1
    n, m = len(real), len(fake)
    auc = ((order[:n].sum() - n * (n + 1) / 2) / (n * m)).item()
    both = torch.cat([real, fake])
    centre, width = both.mean(), both.std().clamp_min(1e-12)
    inputs = torch.stack([(both - centre) / width, torch.ones_like(both)], dim=1)
    wanted = torch.cat([torch.ones(n), torch.zeros(m)]).double()
    weight = torch.cat([torch.full((n,), 0.5 / n), torch.full((m,), 0.5 / m)]).double()
    line = torch.zeros(2, dtype=torch.float64)
    for _ in range(50):  # Newton's method
        p = (inputs @ line).sigmoid()
        gradient = inputs.T @ (weight * (p - wanted)) + RIDGE * line
        curvature = inputs.T @ ((weight * p * (1 - p))[:, None] * inputs)
        line = line - torch.linalg.solve(curvature + RIDGE * torch.eye(2).double(), gradient)
    slope = (line[0] / width).item()
    if not slope > 0:
        raise ConfigError(
            f"the discriminator scores generated samples above real ones (AUC {auc:.2f}), so it "
            "cannot improve them; take another --checkpoint"
        )
    return LogRatio(model, slope, (line[1] - line[0] * centre / width).item(), auc)


@torch.no_grad()
def proposals(
    model: Model, wish: SampleRequest, number: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The `number`-th 64 samples: latents on the CPU, samples and classes on the device."""
    z, y = latents(model, wish, number), labels(model, wish, number * CHUNK, CHUNK)
    return z, decode(model, z, y), None if y is None else y.to(model.device)


def with_refined_latents(
    options: argparse.Namespace, loaded: Loaded, wish: SampleRequest
) -> SampleRequest:
    """The request of `gan-sample --refine`, with the latents of refined samples.

    Raises:
        ConfigError: the model has no discriminator or latents for it, or another option stands
            against it.
        DataError: the run's data are not available.
    """
    model, named = loaded.model, f"--refine {options.refine}"
    prior_of(model, named)
    if options.refine == "ddls" and options.code:
        raise ConfigError(f"{named}: moves the codes as well; omit --code, or use --refine drs")
    if wish.codes.count > 1 or wish.truncation is not None or wish.z is not None:
        raise ConfigError(
            f"{named}: chooses latents of its own; omit --z, --truncation and ranges of --code"
        )
    n = options.number or POINTS
    if model.data.is_image and not options.number:
        classes = len(wish.classes or range(model.data.classes))
        n = 8 * classes if model.conditional and 2 <= classes <= 20 else GRID
    try:
        data: Dataset = build(loaded.settings.data, "data", loaded.trust)
        ratio = log_ratio(model, data)
    except UserError as error:
        raise type(error)(f"{named}: {error}") from error
    return replace(wish, z=refined(ratio, n, wish, options.refine, options.refine_steps))


def refined(ratio: LogRatio, n: int, wish: SampleRequest, kind: str, steps: int = STEPS) -> Tensor:
    """Latents [n, dim] of refined samples, on the CPU; logs how they came about.

    Args:
        ratio: of the model.
        n: how many.
        wish: the samples to begin with.
        kind: one of `KINDS`.
        steps: of the dynamics.

    Raises:
        ConfigError: rejection accepts nothing.
    """
    log.info(f"the discriminator puts real above generated samples in {percent(ratio.accuracy)}")
    if kind == "drs":
        return torch.stack(list(rejection(ratio, n, wish)))
    chunks = [langevin(ratio, wish, number, steps) for number in range(-(-n // CHUNK))]
    return torch.cat(chunks)[:n]


def rejection(ratio: LogRatio, n: int, wish: SampleRequest) -> Iterator[Tensor]:
    """Discriminator rejection sampling (Azadi et al. 2019, Algorithm 1): `n` accepted latents.

    With d = log p_data / p_model and M its largest value so far, a sample is accepted with the
    probability sigmoid(F), F = d - M - log(1 - exp(d - M - eps)) - gamma. gamma is the 80th
    percentile of the rest over samples that the fit has seen. Of a conditional model, samples wait
    until it is their class's turn.
    """
    model = ratio.model
    seen = []
    for number in range(KNOWN // CHUNK):
        _, x, y = proposals(model, SampleRequest(mix(FIT)), number)
        seen.append(ratio(x, y).detach().cpu().double())
    known = torch.cat(seen)
    largest = known.max()
    gamma = hardness(known, largest).quantile(PERCENTILE)
    waiting: dict[int, deque[Tensor]] = defaultdict(deque)
    classes = labels(model, wish, 0, n)
    turn = [0] * n if classes is None else classes.tolist()
    tried = number = given = 0
    for one in turn:
        idle = 0
        while not waiting[one]:
            if idle == MOST_CHUNKS:
                raise ConfigError("--refine drs: accepts no sample; take another --checkpoint")
            z, x, y = proposals(model, wish, number)
            with torch.no_grad():
                d = ratio(x, y).cpu().double()
            largest = torch.maximum(largest, d.max())
            chance = (hardness(d, largest) - gamma).sigmoid()
            stream = torch.Generator().manual_seed(mix(CHOICE, wish.seed, number))
            taken = torch.rand(CHUNK, generator=stream, dtype=torch.float64) < chance
            for place in taken.nonzero().flatten().tolist():
                waiting[0 if y is None else int(y[place])].append(z[place])
            number, tried, idle = number + 1, tried + CHUNK, idle + 1
        given += 1
        yield waiting[one].popleft()
    left = sum(map(len, waiting.values()))
    log.info(f"accepted {percent((given + left) / tried)} of {tried:,} samples")


def hardness(d: Tensor, largest: Tensor) -> Tensor:
    """F of Azadi et al. 2019, Eq. 8, without gamma."""
    gap = d - largest
    return gap - torch.log1p(-torch.exp(gap - EPSILON)).clamp_min(math.log(EPSILON))


def langevin(
    ratio: LogRatio, wish: SampleRequest, number: int, steps: int, size: float = STEP_SIZE
) -> Tensor:
    """The `number`-th 64 latents, on the CPU, after Langevin dynamics (Che et al. 2020, Alg. 1).

    Of the energy E(z) = -log p(z) - d(G(z)): z' = z - size/2 grad E(z) + sqrt(size) noise. Unlike
    there, a step is taken with Metropolis's probability, so that latents come to have the density
    exp(-E) for any step size, and stay where the prior has mass. Categories stay what they are.
    """
    model = ratio.model
    assert model.prior is not None
    z = latents(model, wish, number)
    y = labels(model, wish, number * CHUNK, CHUNK)
    y = None if y is None else y.to(model.device)
    stream = torch.Generator().manual_seed(mix(NOISE, wish.seed, number))
    moves = movable(model.prior).to(z)
    energy, slope = energy_of(ratio, z, y)
    for _ in range(steps):
        noise = torch.randn(z.shape, generator=stream)
        there = z + moves * (math.sqrt(size) * noise - size / 2 * slope)
        other, back = energy_of(ratio, there, y)
        forth_log = -(moves * noise).square().sum(1) / 2
        back_log = -(moves * (z - there + size / 2 * back)).square().sum(1) / (2 * size)
        chance = energy - other + back_log - forth_log
        taken = torch.rand(len(z), generator=stream).log() < chance
        z = torch.where(taken[:, None], there, z)
        slope = torch.where(taken[:, None], back, slope)
        energy = torch.where(taken, other, energy)
    return z


def energy_of(ratio: LogRatio, z: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
    """E(z) [n] and its gradient [n, dim], on the CPU; infinite where the prior has no mass."""
    model = ratio.model
    with torch.enable_grad():
        x = z.to(model.device).requires_grad_()
        energy = -ratio(model.generate(x, y), y) - model.prior.log_prob(x)
        inside = energy.isfinite()
        (slope,) = torch.autograd.grad(energy[inside].sum(), x)
    return torch.where(inside, energy, torch.inf).detach().cpu(), slope.cpu()


def movable(prior: Prior) -> Tensor:
    """1 for each dimension of latents that may move, 0 for those of categories."""
    if isinstance(prior, Product):
        return torch.cat([movable(part) for part in prior.parts.values()])
    return torch.full((prior.dim,), 0.0 if isinstance(prior, Categorical) else 1.0)
