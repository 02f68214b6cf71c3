"""Markov chains that climb an unnormalised log-density by its gradient, and where they begin."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

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
        reflect: what steps out comes back as from a mirror, which leaves exp f on the cube as it
            is; false: it stays on the side (images, Du and Mordatch 2019).
        clip: largest absolute value of an entry of the gradient; None for no limit.
    """

    step_size: float
    noise: float
    bound: float
    reflect: bool
    clip: float | None = None

    def __call__(self, score: Score, x: Tensor, steps: int) -> Tensor:
        """The chains that begin at `x` [n, *shape] after so many steps, without history.

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
    """Within it, the network is in eval mode, so that asking it for outputs changes nothing."""
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
        """Keep where the chains from these places [n] ended."""
        self.samples[places] = samples
