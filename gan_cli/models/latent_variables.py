"""Parts of latent-variable models: p(x | z), q(z | x), and statistics of inputs and codes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec

AUTO, BERNOULLI, GAUSSIAN = "auto", "bernoulli", "gaussian"
NONE, DYNAMIC, FIXED = "none", "dynamic", "fixed"
FIRST = 0.1  # deviation that learning begins with


def gaussian_log_likelihood(x: Tensor, mean: Tensor, log_deviation: Tensor) -> Tensor:
    """log N(x; mean, deviation^2) elementwise, in nats."""
    scaled = (x - mean) * torch.exp(-log_deviation)
    return -0.5 * scaled.square() - log_deviation - 0.5 * math.log(2 * math.pi)


def whole(x: Tensor) -> Tensor:
    """`x` in fp32 where the networks compute in less."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class Observation(nn.Module, ABC):
    """p(x | z) of samples [n, *shape], independent in all their numbers once z is known.

    Args:
        data: what is observed.
    """

    def __init__(self, data: DataSpec) -> None:
        super().__init__()
        self.data = data

    @abstractmethod
    def elementwise(self, x: Tensor, raw: Tensor) -> Tensor:
        """log p of each number of `x`, in nats."""

    @abstractmethod
    def mean(self, raw: Tensor) -> Tensor:
        """E[x | z], in the range of the data."""

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        """log p(x | z) in nats, of `x` [..., *shape] and the decoder's `raw` [..., *shape]."""
        return self.elementwise(x, whole(raw)).flatten(-len(self.data.shape)).sum(-1)


class Bernoulli(Observation):
    """Pixels that are white with probability sigmoid(2 raw) = (tanh(raw) + 1) / 2.

    On grey pixels, which are taken for probabilities, it is a cross-entropy and no likelihood.
    """

    def elementwise(self, x: Tensor, raw: Tensor) -> Tensor:
        logits = 2 * raw
        return (x + 1) / 2 * logits - softplus(logits)

    def mean(self, raw: Tensor) -> Tensor:
        return raw.tanh()


class Gaussian(Observation):
    """N(mean, deviation^2) with one deviation for all numbers; means of images lie in [-1, 1].

    Args:
        data: what is observed.
        deviation: None to learn it. It begins small: with the data's own deviation, codes would
            gain nothing at first, and would mostly remain unused.
    """

    log_deviation: Tensor  # [1]

    def __init__(self, data: DataSpec, deviation: float | None) -> None:
        super().__init__(data)
        if deviation is None:
            self.log_deviation = nn.Parameter(torch.full((1,), math.log(FIRST)))
        else:
            self.register_buffer("log_deviation", torch.tensor([math.log(deviation)]))

    def elementwise(self, x: Tensor, raw: Tensor) -> Tensor:
        return gaussian_log_likelihood(x, self.mean(raw), self.log_deviation)

    def mean(self, raw: Tensor) -> Tensor:
        return raw.tanh() if self.data.is_image else raw

    def noisy(self, mean: Tensor, noise: Tensor) -> Tensor:
        """A draw of p(x | z), from its mean and standard normals."""
        return mean + self.log_deviation.exp() * noise


def observation(data: DataSpec, kind: str, deviation: float | None = None) -> Observation:
    """Build p(x | z) of this kind; "auto" is "bernoulli" for images and "gaussian" for points.

    Raises:
        ConfigError: this data has no such p(x | z).
    """
    if kind not in (AUTO, BERNOULLI, GAUSSIAN):
        raise ConfigError(f"model.likelihood = {kind}: must be auto, bernoulli or gaussian")
    if kind == BERNOULLI and not data.is_image:
        raise ConfigError(
            f"model.likelihood = bernoulli: is of pixels, and {data.name} holds points; "
            "set model.likelihood=gaussian"
        )
    if kind == BERNOULLI or (kind == AUTO and data.is_image):
        if deviation is not None:
            raise ConfigError(
                f"model.deviation = {deviation:g}: is a Gaussian's; set model.likelihood=gaussian, "
                "or model.deviation=null"
            )
        return Bernoulli(data)
    if deviation is not None and deviation <= 0:
        raise ConfigError(
            f"model.deviation = {deviation:g}: must be greater than 0, or null to learn it"
        )
    return Gaussian(data, deviation)


def binarised(x: Tensor, index: Tensor, how: str) -> Tensor:
    """Images [n, *shape] in [-1, 1] with every pixel drawn black or white by its brightness.

    Args:
        x: the images.
        index: their places in the data set, [n].
        how: "none" leaves them grey; "dynamic" draws anew at each use (Burda et al. 2016,
            section 5); "fixed" draws once and for all, as a function of place and pixel (as
            Salakhutdinov and Murray 2008, though by other numbers).
    """
    if how == NONE:
        return x
    if how == DYNAMIC:
        uniform = torch.rand_like(x)
    else:
        pixels = torch.arange(x[0].numel(), device=x.device)
        keys = index[:, None] * len(pixels) + pixels
        uniform = _uniform(keys).view_as(x)
    return torch.where(uniform < (x + 1) / 2, 1.0, -1.0)


def not_binary(how: str, gaussian: bool) -> Iterator[str]:
    """Faults of `model.binarise`, beside a p(x | z) that is `gaussian` or not."""
    if how not in (NONE, DYNAMIC, FIXED):
        yield f"model.binarise = {how}: must be none, dynamic or fixed"
    elif how != NONE and gaussian:
        yield (
            f"model.binarise = {how}: black and white pixels are no Gaussian's; set "
            "model.likelihood=bernoulli, or model.binarise=none"
        )


def _uniform(keys: Tensor) -> Tensor:
    """A number in [0, 1) for each key, by murmur3's finaliser (Appleby 2011)."""
    mask = 0xFFFFFFFF
    h = keys & mask
    h = ((h ^ (h >> 16)) * 0x85EBCA6B) & mask
    h = ((h ^ (h >> 13)) * 0xC2B2AE35) & mask
    return ((h ^ (h >> 16)) >> 8).float() / (1 << 24)  # 24 bits are exact in fp32


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
        """The number of active latents, whose mean varies from one sample to the next."""
        return (self.mean.var(0, correction=0) > ACTIVE).sum().float()


def bounds(weights: Callable[[int], Tensor], samples: int, at_once: int) -> dict[str, Tensor]:
    """ELBO and importance-weighted bound of log p(x) (Burda et al. 2016, Eq. 8), [n] in nats.

    Both are float64 on the CPU.

    Args:
        weights: draws a number of latents of q(z | x) for each of n samples and returns
            log p(x, z) - log q(z | x) of them, [n, number].
        samples: latents of each sample in all.
        at_once: that are drawn together; at least 1 is.
    """
    at_once = max(1, at_once)
    log_sum = torch.tensor(-math.inf, dtype=torch.float64)  # log of the sum of weights
    total = torch.zeros((), dtype=torch.float64)
    for first in range(0, samples, at_once):
        some = weights(min(at_once, samples - first)).cpu().double()
        log_sum = torch.logaddexp(log_sum, some.logsumexp(1))
        total = total + some.sum(1)
    return {"elbo": total / samples, "iwae": log_sum - math.log(samples)}


APART = "each part of it would be centred by a mean of its own"


class Centring(nn.Module):
    """Subtracts the mean of all samples that were seen in training, as Burda et al.'s code does.

    Where most pixels are black, most of the first layer's input is the same for all images, and
    so is its gradient.

    Args:
        shape: of a sample.
    """

    mean: Tensor  # [*shape]
    count: Tensor  # batches seen

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor, record: bool = True) -> Tensor:
        """`x` [n, *shape] minus the mean; in training that takes them in first, if `record`."""
        if self.training and record:
            with torch.no_grad():
                self.count.add_(1)
                self.mean.add_((x.detach().mean(0) - self.mean) / self.count)
        return x - self.mean


RATE = 0.05  # weight of a new batch in the long run; averaging of weights smoothes further


class LatentFit(nn.Module):
    """Running mean and second moment of codes, kept as batch norm keeps its statistics.

    Until there are 1 / RATE batches all weigh the same. The second moment rather than the
    covariance is kept: then averages over time are again moments of a distribution, so the
    averaged model has a covariance without negative directions too.

    Args:
        dim: of the codes.
    """

    mean: Tensor  # [dim]
    square: Tensor  # [dim, dim], E[c c']
    count: Tensor  # batches seen

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("square", torch.eye(dim))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self._root: Tensor | None = None  # of the covariance, [dim, dim]

    @torch.no_grad()
    def record(self, codes: Tensor) -> None:
        """Update the moments by the codes [n, dim] of a batch; in eval mode nothing changes."""
        if not self.training:
            return
        codes = codes.detach().to(self.mean)
        self.count.add_(1)
        rate = (1 / self.count.float()).clamp_min(RATE)
        self.mean.add_(rate * (codes.mean(0) - self.mean))
        self.square.add_(rate * (codes.T @ codes / len(codes) - self.square))

    def covariance(self) -> Tensor:
        """Of the codes, float64 [dim, dim] on the CPU."""
        mean = self.mean.cpu().double()
        return self.square.cpu().double() - torch.outer(mean, mean)

    def inverse(self, codes: Tensor) -> Tensor:
        """Codes [n, dim] as standard normals; 0 in directions in which codes do not vary."""
        root = torch.linalg.pinv(self._covariance_root(), rtol=1e-4, hermitian=True)
        return (codes - self.mean) @ root.to(codes)

    def _covariance_root(self) -> Tensor:
        """C^(1/2), the symmetric one, float64 [dim, dim] on the CPU."""
        values, vectors = torch.linalg.eigh(self.covariance())
        return (vectors * values.clamp_min(0).sqrt()) @ vectors.T

    def forward(self, z: Tensor) -> Tensor:
        """Standard normals [n, dim] as codes: mean + C^(1/2) z, with the symmetric root."""
        if self._root is None or not torch.compiler.is_exporting():
            # In an exported file it is a constant, as ONNX computes no eigenvectors.
            self._root = self._covariance_root()
        return self.mean + z @ self._root.to(z)
