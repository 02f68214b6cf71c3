"""Latent distributions: sample, log-density, and the path between two latents."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Generator, Tensor


def lerp(a: Tensor, b: Tensor, t: float | Tensor) -> Tensor:
    """The straight path from `a` (t=0) to `b` (t=1), both exact."""
    t = torch.as_tensor(t, dtype=a.dtype, device=a.device)
    return torch.where(t < 0.5, a + t * (b - a), b - (1 - t) * (b - a))


def slerp(a: Tensor, b: Tensor, t: float | Tensor) -> Tensor:
    """The path from `a` to `b` along the great circle (Shoemake 1985), over the last dimension.

    Directions go along the arc and norms linearly, so the end points are exact for vectors of any
    length. Parallel vectors have no arc of any length and antipodal vectors have every arc: the
    first are interpolated linearly, the second turn through the axis least aligned with `a`. A zero
    vector has no direction and takes the other's.
    """
    t = torch.as_tensor(t, dtype=a.dtype, device=a.device)
    norm_a, norm_b = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    tiny = torch.finfo(a.dtype).tiny
    unit_a, unit_b = a / norm_a.clamp_min(tiny), b / norm_b.clamp_min(tiny)
    unit_a = torch.where(norm_a > 0, unit_a, unit_b)
    unit_b = torch.where(norm_b > 0, unit_b, unit_a)

    cosine = (unit_a * unit_b).sum(-1, keepdim=True).clamp(-1, 1)
    # The tangent at a towards b; where the two oppose, any perpendicular axis is one.
    tangent = unit_b - cosine * unit_a
    axis = torch.zeros_like(a).scatter_(-1, unit_a.abs().argmin(-1, keepdim=True), 1)
    spare = axis - (axis * unit_a).sum(-1, keepdim=True) * unit_a
    opposed = cosine < -1 + 1e-6
    tangent = torch.where(opposed, spare, tangent)
    length = tangent.norm(dim=-1, keepdim=True)
    # atan2 keeps small angles exact where acos would round them to zero.
    angle = torch.where(opposed, torch.full_like(length, math.pi), torch.atan2(length, cosine))
    tangent = tangent / length.clamp_min(tiny)

    arc = torch.cos(t * angle) * unit_a + torch.sin(t * angle) * tangent
    path = arc * (norm_a + t * (norm_b - norm_a))
    return torch.where(t <= 0, a, torch.where(t >= 1, b, path))


STRAIGHT = {"lerp": lerp, "slerp": slerp}  # whatever the distribution


class Prior(ABC):
    """A distribution over latents z of dimension `dim`."""

    path = "lerp"  # the default interpolation
    paths = tuple(STRAIGHT)  # the available interpolations

    def __init__(self, dim: int) -> None:
        if dim < 1:
            raise ValueError(f"prior.dim = {dim}: at least one dimension is needed")
        self.dim = dim

    @abstractmethod
    def sample(
        self, n: int, device: torch.device | None = None, generator: Generator | None = None
    ) -> Tensor:
        """Draw `n` latents, float32 [n, dim]; `generator` must live on `device`."""

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z), [n], in nats."""

    def matched(self, a: Tensor, b: Tensor, t: float | Tensor) -> Tensor:
        """lerp, mapped back to the distribution by optimal transport (Agustsson et al. 2019).

        With independent parts it is monotone in each: F^-1(F_t(y)), with F of the distribution
        and F_t of (1 - t) a + t b for two draws a, b. So the latents in between have the prior's
        distribution.
        """
        raise NotImplementedError(f"{type(self).__name__} has no matched path")

    def truncated(self, z: Tensor, bound: float) -> Tensor:
        """Latents of the prior within `bound`, from draws `z` [n, dim] of the whole prior.

        The truncation trick (Brock et al. 2019, section 3.1) without drawing again: each latent
        moves continuously with the bound, so a sample keeps its character.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be truncated")

    def interpolate(self, a: Tensor, b: Tensor, t: float | Tensor, path: str = "") -> Tensor:
        """The latent at `t` in [0, 1] on the way from `a` to `b`, by one of `paths`."""
        path = path or self.path
        return self.matched(a, b, t) if path == "matched" else STRAIGHT[path](a, b, t)


class Gaussian(Prior):
    """Independent standard normals. Their mass lies on a sphere, hence slerp (White 2016)."""

    path, paths = "slerp", (*STRAIGHT, "matched")

    def __init__(self, dim: int = 100) -> None:
        super().__init__(dim)

    def sample(
        self, n: int, device: torch.device | None = None, generator: Generator | None = None
    ) -> Tensor:
        return torch.randn(n, self.dim, device=device, generator=generator)

    def log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * (z.square().sum(-1) + self.dim * math.log(2 * math.pi))

    def matched(self, a: Tensor, b: Tensor, t: float | Tensor) -> Tensor:
        t = torch.as_tensor(t, dtype=a.dtype, device=a.device)
        return lerp(a, b, t) / torch.sqrt(t.square() + (1 - t).square())

    def truncated(self, z: Tensor, bound: float) -> Tensor:
        """Normals in [-bound, bound]: F_bound^-1(F(z)), monotone in each dimension."""
        z = z.double()
        low = torch.special.ndtr(torch.tensor(-bound, dtype=z.dtype, device=z.device))
        # From the nearer tail, where the distribution function keeps its digits.
        share = low + torch.special.ndtr(-z.abs()) * (1 - 2 * low)
        return (-torch.special.ndtri(share) * z.sign()).clamp(-bound, bound).float()


class Uniform(Prior):
    """Independent uniforms on [low, high] (Radford et al. 2016 use [-1, 1])."""

    paths = (*STRAIGHT, "matched")

    def __init__(self, dim: int = 100, low: float = -1.0, high: float = 1.0) -> None:
        super().__init__(dim)
        if not low < high:
            raise ValueError(f"prior.low = {low:g}: must lie below prior.high = {high:g}")
        self.low, self.high = low, high

    def sample(
        self, n: int, device: torch.device | None = None, generator: Generator | None = None
    ) -> Tensor:
        unit = torch.rand(n, self.dim, device=device, generator=generator)
        return self.low + (self.high - self.low) * unit

    def log_prob(self, z: Tensor) -> Tensor:
        inside = ((z >= self.low) & (z <= self.high)).all(-1)
        density = torch.full_like(z[..., 0], -self.dim * math.log(self.high - self.low))
        return density.masked_fill(~inside, -math.inf)

    def matched(self, a: Tensor, b: Tensor, t: float | Tensor) -> Tensor:
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        t = torch.as_tensor(t, dtype=a.dtype, device=a.device)
        y = (lerp(a, b, t) - middle) / half  # of two on [-1, 1]: a trapezoid on [-1, 1]
        long, short = torch.maximum(t, 1 - t), torch.minimum(t, 1 - t)
        size = y.abs().clamp_max(1)
        flank = 1 - (1 - size).square() / (4 * long * short).clamp_min(torch.finfo(y.dtype).tiny)
        # 2 F(|y|) - 1: a line below the roof, a parabola below the flanks.
        share = torch.where(size <= long - short, size / long, flank)
        path = middle + half * y.sign() * share
        return torch.where(t <= 0, a, torch.where(t >= 1, b, path))

    def truncated(self, z: Tensor, bound: float) -> Tensor:
        """Uniforms within this share of the half width around the middle; from 1 on all."""
        middle = (self.low + self.high) / 2
        return middle + (z - middle) * min(bound, 1.0)


class Categorical(Prior):
    """A uniform choice among `dim` categories, one-hot; interpolations are linear mixtures."""

    paths = (*STRAIGHT, "matched")  # all linear

    def sample(
        self, n: int, device: torch.device | None = None, generator: Generator | None = None
    ) -> Tensor:
        choice = torch.randint(self.dim, (n,), device=device, generator=generator)
        return torch.nn.functional.one_hot(choice, self.dim).float()

    def log_prob(self, z: Tensor) -> Tensor:
        one_hot = ((z == 0) | (z == 1)).all(-1) & (z.sum(-1) == 1)
        return torch.full_like(z[..., 0], -math.log(self.dim)).masked_fill(~one_hot, -math.inf)

    def truncated(self, z: Tensor, bound: float) -> Tensor:
        """The categories as they are, which have no tails."""
        return z

    def interpolate(self, a: Tensor, b: Tensor, t: float | Tensor, path: str = "") -> Tensor:
        return lerp(a, b, t)


class Product(Prior):
    """Independent parts side by side, such as InfoGAN's noise, category and codes."""

    def __init__(self, **parts: Prior) -> None:
        super().__init__(sum(part.dim for part in parts.values()))
        self.parts = parts
        self.paths = tuple(p for p in Gaussian.paths if all(p in x.paths for x in parts.values()))

    def split(self, z: Tensor) -> dict[str, Tensor]:
        """The parts of `z` [n, dim] by name, each [n, part.dim]."""
        pieces = z.split([part.dim for part in self.parts.values()], dim=-1)
        return dict(zip(self.parts, pieces, strict=True))

    def join(self, **pieces: Tensor) -> Tensor:
        """The inverse of `split`."""
        return torch.cat([pieces[name] for name in self.parts], dim=-1)

    def sample(
        self, n: int, device: torch.device | None = None, generator: Generator | None = None
    ) -> Tensor:
        return torch.cat([p.sample(n, device, generator) for p in self.parts.values()], dim=-1)

    def log_prob(self, z: Tensor) -> Tensor:
        pieces = self.split(z)
        return sum((p.log_prob(pieces[name]) for name, p in self.parts.items()), z.new_zeros(()))

    def matched(self, a: Tensor, b: Tensor, t: float | Tensor) -> Tensor:
        return self.interpolate(a, b, t, "matched")

    def truncated(self, z: Tensor, bound: float) -> Tensor:
        pieces = self.split(z)
        return self.join(**{n: p.truncated(pieces[n], bound) for n, p in self.parts.items()})

    def interpolate(self, a: Tensor, b: Tensor, t: float | Tensor, path: str = "") -> Tensor:
        start, end = self.split(a), self.split(b)
        parts = self.parts.items()
        return self.join(**{n: p.interpolate(start[n], end[n], t, path) for n, p in parts})
