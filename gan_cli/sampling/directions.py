"""Directions in latent space that change samples in one way, and sweeps along them.

Without labels they come from the generator's first layer (SeFa, Shen and Zhou 2021) or from its
features on samples (GANSpace, Haerkoenen et al. 2020), with labels from a linear boundary
(InterFaceGAN, Shen et al. 2020).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from gan_cli.errors import ConfigError
from gan_cli.formatting import percent
from gan_cli.model import Model
from gan_cli.priors import Categorical, Prior, Product, Uniform
from gan_cli.sampling import latents
from gan_cli.sampling import samples as sampling
from gan_cli.sampling.codes import Place, places
from gan_cli.sampling.samples import CHUNK, SampleRequest

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
AFFINE = 1e-3  # relative error that rounding may make
SAMPLES = 4096  # of which features are analysed,
VALUES = 1 << 26  # where they are no more than these numbers
LEAST = 50  # samples on each side of a boundary
RIDGE = 1.0  # of the boundary's weights, for as many samples as there are
NEWTON = 30  # iterations at most
REACH = 3.0  # deviations


class Sweep(Protocol):
    """Latents that change in one way."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def note(self) -> str:
        """What is known of it, in a few words."""
        ...

    @property
    def heads(self) -> tuple[str, ...]:
        """The amount of each step, as text."""
        ...

    def along(self, z: Tensor) -> Tensor:
        """Each of the latents [n, dim] at every step, [n, steps, dim]."""
        ...


@dataclass(frozen=True)
class Coordinate:
    """A dimension, or a code, that takes values.

    Attributes:
        place: where.
        values: [steps, width].
        note: for people.
    """

    place: Place
    values: Tensor
    note: str = ""

    @property
    def name(self) -> str:
        """That of the code or the dimension."""
        return self.place.name

    @property
    def heads(self) -> tuple[str, ...]:
        """Categories, or numbers."""
        if self.place.categories:
            return tuple(str(k) for k in self.values.argmax(1).tolist())
        return tuple(f"{value:.3g}" for value in self.values[:, 0].tolist())

    def along(self, z: Tensor) -> Tensor:
        """With each value in its place."""
        swept = z[:, None].repeat(1, len(self.values), 1)
        swept[:, :, self.place.start : self.place.start + self.place.width] = self.values
        return swept


@dataclass(frozen=True)
class Direction:
    """A vector that is added.

    Attributes:
        name: for people.
        vector: [dim], as long as the prior's deviation along it.
        amounts: how often, [steps].
        note: what is known of it.
    """

    name: str
    vector: Tensor
    amounts: Tensor
    note: str = ""

    @property
    def heads(self) -> tuple[str, ...]:
        """The amounts, with their sign."""
        return tuple(f"{amount:+.3g}" if amount else "0" for amount in self.amounts.tolist())

    def along(self, z: Tensor) -> Tensor:
        """Latents moved by each amount."""
        return z[:, None] + self.amounts[:, None] * self.vector


def coordinates(
    prior: Prior, wanted: Sequence[int], steps: int, reach: float | None
) -> list[Coordinate]:
    """Dimensions of the latent, from minus to plus `reach`.

    Args:
        prior: of the latents.
        wanted: the dimensions.
        steps: values.
        reach: by default three, and of uniform dimensions their whole range.

    Raises:
        ConfigError: there is no such dimension.
    """
    if wrong := [one for one in wanted if one >= prior.dim]:
        raise ConfigError(f"--dims {wrong[0]}: the latent has dimensions 0 to {prior.dim - 1}")
    named = {place.start: name for name, place in places(prior).items() if not place.categories}
    return [
        Coordinate(Place(named.get(one, f"z{one}"), one), _values(prior, one, steps, reach))
        for one in wanted
    ]


def codes(prior: Prior, steps: int, reach: float | None) -> list[Coordinate]:
    """Every code but the noise of a `Product` prior: each category, each continuous code.

    Raises:
        ConfigError: the prior has none.
    """
    noise = _noise(prior)
    found = [
        Coordinate(place, torch.eye(place.categories))
        if place.categories
        else Coordinate(place, _values(prior, place.start, steps, reach))
        for place in places(prior).values()
        if place.start not in noise
    ]
    if not found:
        raise ConfigError("--codes: this model has no codes; model=infogan learns some")
    return found


def _noise(prior: Prior) -> range:
    """The dimensions of the part that is called noise."""
    start = 0
    for name, part in (prior.parts if isinstance(prior, Product) else {}).items():
        if name == "noise":
            return range(start, start + part.dim)
        start += part.dim
    return range(0)


def _values(prior: Prior, dimension: int, steps: int, reach: float | None) -> Tensor:
    part = prior
    if isinstance(prior, Product):
        start = 0
        for one in prior.parts.values():
            if start <= dimension < start + one.dim:
                part = one
            start += one.dim
    low, high = -(reach or REACH), reach or REACH
    if isinstance(part, Categorical):
        low, high = 0.0, 1.0
    elif isinstance(part, Uniform) and reach is None:
        low, high = part.low, part.high
    return torch.linspace(low, high, steps)[:, None]


def sefa(model: Model, count: int, amounts: Tensor) -> list[Direction]:
    """The directions that move the first layer's output most: eigenvectors of A^T A.

    A is the layer's matrix (Shen and Zhou 2021, Eq. 6), here the derivative of its output, which is
    the same for layers of any kind and for what a model does to latents before them.

    Args:
        model: decodes latents.
        count: how many directions.
        amounts: of each.

    Raises:
        ConfigError: the first layer is no linear function of the latent, or there are fewer.
    """
    a = first_layer(model)
    _check_count("--sefa", count, a.shape[1])
    values, vectors = torch.linalg.eigh(a.T @ a)
    shares = values.flip(0) / values.sum()
    return [
        _direction(
            model.prior,
            f"sefa {i + 1}",
            vectors[:, -1 - i],
            amounts,
            f"{percent(shares[i].item())} of the first layer's energy",
        )
        for i in range(count)
    ]


def ganspace(model: Model, request: SampleRequest, count: int, amounts: Tensor) -> list[Direction]:
    """The directions of the largest principal components of the first layer's features.

    Features are what the second layer is given. Their components have coordinates x_j on the
    samples j, and the direction of each is the latents' regression on it (Haerkoenen et al. 2020,
    section 3.2).

    Args:
        model: decodes latents.
        request: the samples.
        count: how many directions.
        amounts: of each.

    Raises:
        ConfigError: there are fewer.
    """
    z, features = [], []
    total, number = 0, 0
    while total < SAMPLES and (not features or (total + CHUNK) * features[0].shape[1] <= VALUES):
        z.append(sampling.latents(model, request, number))
        y = sampling.labels(model, request, number * CHUNK, CHUNK)
        features.append(activations(model, z[-1], y)[1])
        total, number = total + CHUNK, number + 1
    x = torch.cat(features)
    x = x - x.mean(0)
    latent = torch.cat(z).double()
    latent = latent - latent.mean(0)
    _check_count("--pca", count, min(*x.shape, latent.shape[1]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        _, sizes, components = torch.svd_lowrank(x, q=min(count + 10, *x.shape), niter=4)
    along = (x @ components[:, :count]).double()  # [samples, count]
    directions = latent.T @ along  # regression of each latent dimension, up to a factor
    shares = sizes.double().square() / x.double().square().sum()
    return [
        _direction(
            model.prior,
            f"pca {i + 1}",
            directions[:, i],
            amounts,
            f"{percent(shares[i].item())} of the features' variance",
        )
        for i in range(count)
    ]


def _check_count(option: str, count: int, most: int) -> None:
    if count > most:
        raise ConfigError(f"{option} {count}: there are at most {most} directions")


def _direction(prior: Prior, name: str, vector: Tensor, amounts: Tensor, note: str) -> Direction:
    """A direction of one deviation of the prior, its largest component positive."""
    unit = vector.float() / vector.float().norm().clamp_min(1e-30)
    unit = unit * unit[unit.abs().argmax()].sign()
    return Direction(name, scaled(prior, unit), amounts, note)


def scaled(prior: Prior, vector: Tensor) -> Tensor:
    """A vector [dim] as long as the deviation of the prior's latents along it."""
    unit = vector / vector.norm()
    drawn = latents.of_seed(prior, 0, torch.arange(latents.NORMED))
    return unit * (drawn @ unit).std()


def given(prior: Prior, path: str, amounts: Tensor) -> list[Direction]:
    """Directions [k, dim] from a .npy file, with the length that they have there.

    Raises:
        DataError: it cannot be read, or holds something else.
    """
    found = latents.read(path, prior)
    return [Direction(f"file {i + 1}", one, amounts) for i, one in enumerate(found)]


def boundary(prior: Prior, z: Tensor, positive: Tensor, name: str, amounts: Tensor) -> Direction:
    """The normal of the plane that best parts labelled latents (Shen et al. 2020, section 2.1).

    A logistic regression in which both sides weigh the same, on two thirds of the latents; the note
    gives its accuracy on the others, the mean of both sides.

    Args:
        prior: of the latents.
        z: [n, dim].
        positive: the side of each, bool [n].
        name: of the direction.
        amounts: of it.

    Raises:
        ConfigError: one side has too few samples.
    """
    fewer = min(int(positive.sum()), int((~positive).sum()))
    if fewer < LEAST:
        side = "are" if fewer == int(positive.sum()) else "are not"
        raise ConfigError(
            f"--toward {name}: {fewer} of {len(z):,} samples {side}; at least {LEAST} are needed: "
            "add --samples"
        )
    held_out = torch.arange(len(z)) % 3 == 2
    weights = logistic(z[~held_out], positive[~held_out])
    right = (z[held_out].double() @ weights[:-1] + weights[-1] > 0) == positive[held_out]
    sides = [right[positive[held_out] == side].double().mean().item() for side in (True, False)]
    share = positive.double().mean().item()
    note = (
        f"{percent(share)} of samples are; the boundary is right on {percent(sum(sides) / 2)} of "
        "those held out"
    )
    return Direction(name, scaled(prior, weights[:-1].float()), amounts, note)


def logistic(z: Tensor, positive: Tensor) -> Tensor:
    """Weights [dim + 1], the offset last, of a logistic regression with a ridge; both sides alike.

    Args:
        z: [n, dim].
        positive: bool [n].
    """
    x = torch.cat([z.double(), torch.ones(len(z), 1, dtype=torch.float64)], dim=1)
    y = positive.double()
    weight = torch.where(positive, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    ridge = torch.full((x.shape[1],), RIDGE, dtype=torch.float64)
    ridge[-1] = 1e-6
    found = torch.zeros(x.shape[1], dtype=torch.float64)
    for _ in range(NEWTON):
        p = (x @ found).sigmoid()
        gradient = x.T @ (weight * (p - y)) + ridge * found
        curvature = (x * (weight * p * (1 - p))[:, None]).T @ x + ridge.diag()
        step = torch.linalg.solve(curvature, gradient)
        found = found - step
        if step.norm() <= 1e-8 * (1 + found.norm()):
            break
    return found


def first_layer(model: Model) -> Tensor:
    """The matrix [outputs, dim] of the first layer that a latent meets, float64.

    Raises:
        ConfigError: there is none, or its output is no linear function of the latent.
    """
    assert model.prior is not None
    dim = model.prior.dim
    random = latents.of_seed(model.prior, 0, torch.arange(8))
    probes = torch.cat([torch.zeros(1, dim), torch.eye(dim), random])
    y = torch.zeros(len(probes), dtype=torch.int64) if model.conditional else None
    found = activations(model, probes, y)[0].double()
    offset, a = found[0], (found[1 : dim + 1] - found[0]).T
    expected = offset + random.double() @ a.T
    if (found[dim + 1 :] - expected).norm() > AFFINE * (expected - offset).norm():
        raise ConfigError("--sefa: the first layer is no linear function of the latent; use --pca")
    return a


@torch.no_grad()
def activations(model: Model, z: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The first layer's outputs [n, outputs], and its features: the second's inputs [n, features].

    Layers are those with a weight matrix, in the order in which latents meet them. Where there is
    one alone, its outputs are the features.

    Args:
        model: decodes latents.
        z: [n, dim] on the CPU.
        y: classes [n] of a conditional model.

    Raises:
        ConfigError: there is no such layer.
    """
    outputs, features = [], []
    for start in range(0, len(z), CHUNK):
        piece = slice(start, start + CHUNK)
        some = None if y is None else y[piece]
        with watched(model) as seen:
            sampling.decode(model, z[piece], some)
        if not seen:
            raise ConfigError(
                "--sefa, --pca: this model's generator has no layer that directions could be of "
                "(StyleGAN2's scale their weights); use --dims, --toward or --directions, and "
                "for gan-edit --sefa 0"
            )
        n = len(z[piece])
        first = seen[0][1]
        second = seen[1][0] if len(seen) > 1 else first
        # Virtual batch norm puts its reference latents in front, `decode` fills up behind.
        outputs.append(first[-CHUNK:][:n].flatten(1).float().cpu())
        features.append(second[-CHUNK:][:n].flatten(1).float().cpu())
    return torch.cat(outputs), torch.cat(features)


@contextmanager
def watched(model: Model) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """The input and the output of each of the first two layers that are run within it."""
    seen: list[tuple[Tensor, Tensor]] = []

    def note(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if len(seen) < 2:
            # Activations may work in place, on what a layer returned.
            seen.append((inputs[0].clone(), output.clone()))

    handles = [m.register_forward_hook(note) for m in model.modules() if isinstance(m, LAYERS)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
