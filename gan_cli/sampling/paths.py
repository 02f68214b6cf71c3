"""Paths through latents and classes: what lies between points, and how long the latents are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from gan_cli.errors import ConfigError
from gan_cli.formatting import counted
from gan_cli.model import Model
from gan_cli.priors import Categorical, Prior, Product, lerp
from gan_cli.sampling import latents
from gan_cli.sampling.samples import SampleRequest, decode, labels

FINE = 101  # points of a piece, where norms are measured
SAME = 1e-6  # sine of an angle that counts as none
MOST_LISTED = 16
PATHS = 8


@dataclass(frozen=True)
class Paths:
    """Paths of one number of points each, and the way from point to point.

    Attributes:
        prior: of the latents.
        points: [paths, points, dim].
        method: one of `prior.paths`; empty for the prior's own.
        loop: from the last point back to the first.
        classes: of each point, int64 [paths, points], of a conditional model.
    """

    prior: Prior
    points: Tensor
    method: str = ""
    loop: bool = False
    classes: Tensor | None = None

    def __post_init__(self) -> None:
        """Check that there is a way.

        Raises:
            ConfigError: there is one point alone, or the prior has no such path.
        """
        if self.points.shape[1] < 2:
            raise ConfigError("one point is given; a path needs two or more")
        if self.method and self.method not in self.prior.paths:
            name, known = type(self.prior).__name__, ", ".join(self.prior.paths)
            raise ConfigError(f"--method {self.method}: the prior {name} has {known}")

    @property
    def way(self) -> str:
        """The method in words; without one, parts of a prior go each by its own."""
        if self.method or not isinstance(self.prior, Product):
            return self.method or self.prior.path
        return ", ".join(f"{name} by {part.path}" for name, part in self.prior.parts.items())

    @property
    def pieces(self) -> int:
        """The number of pieces between points."""
        return self.points.shape[1] - (not self.loop)

    def at(self, steps: int) -> Tensor:
        """Latents along the paths, [paths, pieces * (steps - 1) + 1, dim].

        Args:
            steps: of each piece, its two ends included. A loop leaves out the last latent of all,
                which is the first again.
        """
        return self._along(self.points, steps, self._between)

    def mixtures(self, steps: int, classes: int) -> Tensor | None:
        """The classes along the paths: [paths, ...] where each path keeps its own, else mixtures.

        Mixtures of two classes are [paths, ..., classes].
        """
        if self.classes is None:
            return None
        if bool((self.classes == self.classes[:, :1]).all()):
            count = self.pieces * (steps - 1) + (not self.loop)
            return self.classes[:, :1].expand(-1, count)
        return self._along(one_hot(self.classes, classes).float(), steps, lerp)

    def _between(self, a: Tensor, b: Tensor, t: float) -> Tensor:
        return self.prior.interpolate(a, b, t, self.method)

    def _along(self, points: Tensor, steps: int, between) -> Tensor:
        ends = points.roll(-1, 1)
        found = [
            between(points[:, piece], ends[:, piece], step / (steps - 1))
            for piece in range(self.pieces)
            for step in range(steps - 1)
        ]
        return torch.stack(found if self.loop else [*found, points[:, -1]], dim=1)

    @torch.no_grad()
    def images(self, model: Model, steps: int) -> Tensor:
        """Samples along the paths, [paths, ..., *shape], on the CPU; `steps` as in `at`."""
        z, y = self.at(steps), self.mixtures(steps, model.data.classes)
        flat = None if y is None else y.flatten(0, 1)
        return decode(model, z.flatten(0, 1), flat).float().cpu().unflatten(0, z.shape[:2])

    def report(self) -> Iterator[str]:
        """Lines for people: |z| along each path, and what is special about its points."""
        z = self.at(FINE)
        norms = z.norm(dim=2)
        ends = z.roll(-1, 1) if self.loop else z[:, 1:]
        lengths = (ends - z[:, : ends.shape[1]]).norm(dim=2).sum(1)
        low, high = latents.usual_norms(self.prior)
        yield f"{self.way}: |z| along each path"
        yield f"  (of nine in ten latents of the prior {low:.2f} to {high:.2f})"
        yield "  path   start     end   least    most  length"
        for i, (norm, length) in enumerate(zip(norms[:MOST_LISTED], lengths, strict=False), 1):
            numbers = (norm[0], norm[-1], norm.min(), norm.max(), length)
            yield f"  {i:4}" + "".join(f"{float(value):8.2f}" for value in numbers)
        if len(norms) > MOST_LISTED:
            yield f"  and {len(norms) - MOST_LISTED} more"
        short = int((norms.min(1).values < 0.9 * low).sum())
        if short and self.way == "lerp":
            yield f"on {short} of {len(norms)} paths latents are shorter than the prior's;"
            yield f"  --method {self.prior.paths[-1]} keeps their length"
        yield from self.special()

    def special(self) -> Iterator[str]:
        """What is said of zero, equal, parallel and opposite points."""
        ends = self.points.roll(-1, 1)
        for path in range(len(self.points)):
            for piece in range(self.pieces):
                a, b = self.points[path, piece], ends[path, piece]
                found = self._special(a, b)
                if found:
                    other = (piece + 1) % self.points.shape[1] + 1
                    yield f"path {path + 1}, points {piece + 1} and {other}: {found}"

    def _special(self, a: Tensor, b: Tensor) -> str:
        if torch.equal(a, b):
            return "" if self.classes is not None else "are the same, so nothing changes"
        for name, part, one, two in _parts(self.prior, a, b):
            where, way = f" in {name}" if name else "", self.method or part.path
            norms = one.norm().item(), two.norm().item()
            if torch.equal(one, two):
                continue
            if min(norms) == 0:
                tail = "; slerp gives it the other's direction" if way == "slerp" else ""
                return f"one is the zero vector{where}{tail}"
            cosine = float(one.double() @ two.double()) / (norms[0] * norms[1])
            sine = (two.double() / norms[1] - cosine * one.double() / norms[0]).norm().item()
            if sine < SAME and cosine > 0:
                tail = "; slerp is a straight line" if way == "slerp" else ""
                return f"are parallel{where}{tail}"
            if sine < SAME:
                turn = "slerp turns through the axis least aligned with the first"
                tail = turn if way == "slerp" else f"{way} goes through the zero vector"
                return f"are opposite{where}; {tail}"
        return ""


def points_of(
    model: Model,
    request: SampleRequest,
    number: int | None = None,
    seeds: Sequence[int] = (),
    points: int | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Points [paths, points, dim] of `Paths`, and their classes [paths, points].

    They are, in this order of choice, the request's own `z` [paths, points, dim]; sample i of each
    of `seeds` on path i; one latent with the values of a code, or with several classes; or the
    request's samples, as many after each other on each path as there are points.

    Args:
        model: decodes them.
        request: seed, classes, codes and truncation of the points.
        number: of paths; by default 8, or those in `z`.
        seeds: of the points.
        points: on each path, 2 by default; where nothing above decides.

    Raises:
        ConfigError: these do not go together.
    """
    prior, codes, classes = model.prior, request.codes, request.classes
    if sum((request.z is not None, bool(seeds), codes.count > 1)) > 1:
        raise ConfigError("--seeds, --z and a range of --code each give all points; use one")
    if request.z is not None and number is not None and number > len(request.z):
        raise ConfigError(f"-n {number}: the file of --z holds {counted(len(request.z), 'path')}")
    n = number or (PATHS if request.z is None else len(request.z))
    places = torch.arange(n)
    if request.z is not None:
        z = request.z[:n]
    elif seeds:
        z = torch.stack([latents.of_seed(prior, seed, places) for seed in seeds], dim=1)
    elif codes.count > 1 or (len(classes) > 1 and points is None):
        count = codes.count if codes.count > 1 else len(classes)
        z = latents.of_seed(prior, request.seed, places)[:, None].repeat(1, count, 1)
    else:
        count = points or 2
        z = latents.of_seed(prior, request.seed, torch.arange(n * count)).unflatten(0, (n, count))
    count = z.shape[1]
    if points is not None and points != count:
        raise ConfigError(f"--points {points}: there are {count} points by the other options")
    flat = z.flatten(0, 1)
    if request.truncation is not None and not latents.truncates_styles(model):
        flat = latents.truncated(prior, flat, request.truncation)
    z = codes.put(flat, torch.arange(len(flat)) % count).unflatten(0, (n, count))
    if not model.conditional:
        return z, None
    if len(classes) not in (0, 1, count):
        raise ConfigError(f"{len(classes)} classes for {count} points: one for each is required")
    if classes:
        return z, torch.tensor(classes).expand(n, count)
    own = labels(model, SampleRequest(), 0, n * count)
    assert own is not None
    return z, own[::count, None].expand(n, count)


def _parts(prior: Prior, a: Tensor, b: Tensor) -> list[tuple[str, Prior, Tensor, Tensor]]:
    """The parts of a prior in which directions mean something, and those of two latents [dim]."""
    if not isinstance(prior, Product):
        return [("", prior, a, b)]
    one, two = prior.split(a), prior.split(b)
    kept = [n for n, p in prior.parts.items() if not isinstance(p, Categorical) and p.dim > 1]
    return [(name, prior.parts[name], one[name], two[name]) for name in kept]
