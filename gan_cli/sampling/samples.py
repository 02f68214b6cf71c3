"""Samples as functions of the model, the seed and their index alone.

Latents are drawn on the CPU in chunks of 64, the k-th from the seed (seed, k), and the network
always decodes 64 of them at once: in other batch sizes arithmetic differs in the last bits, which
is visible in pictures. So image i does not depend on how many are drawn, nor on `batch`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Generator, Tensor

from gan_cli.errors import ConfigError
from gan_cli.labels import in_shares
from gan_cli.model import Model
from gan_cli.sampling.codes import Codes
from gan_cli.seeding import mix

CHUNK = 64


@dataclass(frozen=True)
class SampleRequest:
    """Properties that samples are to have."""

    seed: int = 0
    label: int | None = None  # all of this class ...
    shares: tuple[int, ...] = ()  # ... else weights of the classes; empty: of class i modulo them
    codes: Codes = field(default_factory=Codes)


def draw(
    model: Model, n: int, wish: SampleRequest | None = None, batch: int = CHUNK
) -> Iterator[Tensor]:
    """Samples 0 ... n-1 in order, as CPU tensors [up to `batch`, *shape].

    Args:
        model: in eval mode.
        n: how many in all.
        wish: properties of the samples.
        batch: how many are computed before they are copied from the device, rounded up to 64.
    """
    wish = wish or SampleRequest()
    at_once = max(1, -(-batch // CHUNK))
    chunks = iter(range(-(-n // CHUNK)))
    left = n
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
    """The `number`-th chunk of latents, [64, prior.dim], on the CPU."""
    assert model.prior is not None
    generator = Generator().manual_seed(mix(wish.seed, number))
    return wish.codes.put(model.prior.sample(CHUNK, generator=generator))


def labels(model: Model, wish: SampleRequest, first: int, n: int) -> Tensor | None:
    """The classes [n] of samples from number `first` on; None for a model without."""
    if not model.conditional:
        return None
    if wish.label is not None:
        return torch.full((n,), wish.label)
    return in_shares(wish.shares or (1,) * model.data.classes, first, n)


def decode(model: Model, z: Tensor, y: Tensor | None = None) -> Tensor:
    """Decode CPU latents [n, prior.dim], 64 at a time, into samples [n, *shape] on the device."""
    parts = []
    for start in range(0, len(z), CHUNK):
        inputs = [z[start : start + CHUNK]] + ([] if y is None else [y[start : start + CHUNK]])
        n = len(inputs[0])
        full = [torch.cat([x, x[-1:].expand(CHUNK - n, *x.shape[1:])]) for x in inputs]
        parts.append(model.generate(*(x.to(model.device) for x in full))[:n])
    return torch.cat(parts)


@torch.no_grad()
def interpolate(
    model: Model, pairs: int, columns: int, path: str, wish: SampleRequest | None = None
) -> Tensor:
    """Samples on the way between latents 2i and 2i+1 of `draw`, [pairs, columns, *shape].

    The first and the last column are the samples of these latents themselves. A row keeps the
    class of its first sample.

    Args:
        model: in eval mode.
        pairs: rows.
        columns: steps from one end to the other, both included; at least 2.
        path: one of `prior.paths`.
        wish: as for `draw`.

    Raises:
        ConfigError: the model decodes no latents, or its prior has no such path.
    """
    wish = wish or SampleRequest()
    if model.prior is None:
        raise ConfigError("--interpolate: this model decodes no latents, so none lie between")
    if path not in model.prior.paths:
        known = ", ".join(model.prior.paths)
        name = type(model.prior).__name__
        raise ConfigError(f"--interpolate {path}: the prior {name} has {known}")
    times = [k / (columns - 1) for k in range(columns)]
    ways = []
    for number in range(-(-2 * pairs // CHUNK)):  # by chunks, for the same reason as in `draw`
        ends = latents(model, wish, number)
        steps = [model.prior.interpolate(ends[0::2], ends[1::2], t, path) for t in times]
        ways.append(torch.stack(steps, dim=1))
    z = torch.cat(ways)[:pairs]  # [pairs, columns, dim]
    y = labels(model, wish, 0, 2 * pairs)
    y = None if y is None else y[0::2].repeat_interleave(columns)
    images = decode(model, z.flatten(0, 1), y).float().cpu()
    return images.unflatten(0, (pairs, columns))
