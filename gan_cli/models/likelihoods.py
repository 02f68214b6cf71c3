"""What a decoder says of samples: p(x | z), by its output before the last tanh."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

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
        deviation: None to learn it. It begins small: were it the data's own deviation, a code that
            says nothing would be as good as any at first, and most often it stays so.
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
    """The one of that kind; "auto" is "bernoulli" for images and "gaussian" for points.

    Raises:
        ConfigError: there is none of that kind for this data.
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


def _uniform(keys: Tensor) -> Tensor:
    """A number in [0, 1) for each key, by murmur3's finaliser (Appleby 2011)."""
    mask = 0xFFFFFFFF
    h = keys & mask
    h = ((h ^ (h >> 16)) * 0x85EBCA6B) & mask
    h = ((h ^ (h >> 13)) * 0xC2B2AE35) & mask
    return ((h ^ (h >> 16)) >> 8).float() / (1 << 24)  # 24 bits are exact in fp32
