"""Samples as functions of the model, the request and their index alone.

The network always decodes 64 latents at once: in other batch sizes arithmetic differs in the last
bits, which is visible in pictures. So image i does not depend on how many are drawn, nor on
`batch`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor

from gan_cli.labels import in_shares
from gan_cli.model import Model
from gan_cli.sampling import latents as latents_of
from gan_cli.sampling.codes import Codes, classes_of
from gan_cli.sampling.latents import CHUNK
from gan_cli.seeding import mix


@dataclass(frozen=True)
class SampleRequest:
    """Properties that samples are to have.

    Where codes have several values, `codes.count` samples after each other are of one latent and
    one class, with each combination of values in turn.
    """

    seed: int = 0
    classes: tuple[int, ...] = ()  # each latent of the next of these classes ...
    shares: tuple[int, ...] = ()  # ... else of all, with these weights; empty: of equal ones
    codes: Codes = field(default_factory=Codes)
    truncation: float | None = None  # of the prior's tails; None for none
    z: Tensor | None = None  # [n, prior.dim], in place of the seed's latents


def draw(
    model: Model, n: int, wish: SampleRequest | None = None, batch: int = CHUNK, first: int = 0
) -> Iterator[Tensor]:
    """Samples `first` ... n-1 in order, as CPU tensors [up to `batch`, *shape].

    Args:
        model: in eval mode.
        n: how many in all.
        wish: properties of the samples.
        batch: how many are computed before they are copied from the device, rounded up to 64.
        first: a multiple of 64.
    """
    wish = wish or SampleRequest()
    at_once = max(1, -(-batch // CHUNK))
    chunks = iter(range(first // CHUNK, -(-n // CHUNK)))
    left = n - first
    while some := list(islice(chunks, at_once)):
        with torch.no_grad():
            images = torch.cat([_chunk(model, wish, number) for number in some])
        yield images[:left].float().cpu()
        left -= len(images)


def _chunk(model: Model, wish: SampleRequest, number: int) -> Tensor:
    y = labels(model, wish, number * CHUNK, CHUNK)
    if model.prior is not None:
        return decode(model, latents(model, wish, number), y)
    with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
        torch.manual_seed(mix(wish.seed, number))
        return model.sample(CHUNK, None if y is None else y.to(model.device))


def latents(model: Model, wish: SampleRequest, number: int) -> Tensor:
    """The latents of the `number`-th 64 samples, [64, prior.dim], on the CPU.

    The last latent of a file is repeated after its end.
    """
    assert model.prior is not None
    index = torch.arange(number * CHUNK, (number + 1) * CHUNK)
    places = index // wish.codes.count
    if wish.z is not None:
        z = wish.z[places.clamp_max(len(wish.z) - 1)]
    else:
        z = latents_of.of_seed(model.prior, wish.seed, places)
    if wish.truncation is not None and not latents_of.truncates_styles(model):
        z = latents_of.truncated(model.prior, z, wish.truncation)
    return wish.codes.put(z, index % wish.codes.count)


def labels(model: Model, wish: SampleRequest, first: int, n: int) -> Tensor | None:
    """The classes [n] of samples from number `first` on; None for a model without."""
    if not model.conditional:
        return None
    index = torch.arange(first, first + n) // wish.codes.count
    if wish.classes:
        return torch.tensor(wish.classes)[index % len(wish.classes)]
    low, high = first // wish.codes.count, (first + n - 1) // wish.codes.count
    return in_shares(wish.shares or (1,) * model.data.classes, low, high - low + 1)[index - low]


def decode(model: Model, z: Tensor, y: Tensor | None = None) -> Tensor:
    """Decode CPU latents [n, prior.dim], 64 at a time, into samples [n, *shape] on the device.

    Args:
        model: in eval mode.
        z: the latents.
        y: their classes [n], or mixtures of classes [n, classes], of a conditional model.
    """
    parts = []
    for start in range(0, len(z), CHUNK):
        inputs = [z[start : start + CHUNK]] + ([] if y is None else [y[start : start + CHUNK]])
        n = len(inputs[0])
        full = [torch.cat([x, x[-1:].expand(CHUNK - n, *x.shape[1:])]) for x in inputs]
        parts.append(model.generate(*(x.to(model.device) for x in full))[:n])
    return torch.cat(parts)


def requested(options: argparse.Namespace, model: Model, ndim: int = 2) -> SampleRequest:
    """The samples that `options.add_latent_options` ask for; `ndim` as in `latents.read`.

    A generator that truncates styles does so from then on.

    Raises:
        ConfigError: the model has no such class or code, or decodes no latents.
        DataError: the file of latents cannot be read.
    """
    z = None
    if options.truncation is not None:
        prior = latents_of.prior_of(model, f"--truncation {options.truncation:g}")
        latents_of.truncated(prior, torch.zeros(1, prior.dim), options.truncation)
        if latents_of.truncates_styles(model):
            model.generator.truncation = options.truncation  # type: ignore[union-attr]
    if options.z is not None:
        z = latents_of.read(options.z, latents_of.prior_of(model, f"--z {options.z}"), ndim)
    return SampleRequest(
        options.seed,
        () if options.classes is None else classes_of(options.classes, model),
        codes=Codes.parse(options.code, model.prior),
        truncation=options.truncation,
        z=z,
    )
