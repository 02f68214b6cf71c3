"""Samples for measures that compare them one by one: generated ones, and real ones by chance."""

from __future__ import annotations

import torch
from torch import Tensor

from gan_cli.data.dataset import Dataset
from gan_cli.evaluation.measure import Drawn, Subject
from gan_cli.seeding import mix

TAKEN = 0x7A4E  # the random stream that picks real samples; the same for everybody


def generated(subject: Subject, n: int, even: bool = False) -> Drawn:
    """Samples 0 ... n-1 in one piece; `even` as in `Subject.draw`."""
    pieces = list(subject.draw(n, even=True) if even else subject.draw(n))
    labels = [piece.labels for piece in pieces if piece.labels is not None]
    return Drawn(
        torch.cat([piece.samples for piece in pieces]), torch.cat(labels) if labels else None
    )


def shuffled(data: Dataset) -> Tensor:
    """All places of `data`, int64 [size] on the CPU, in an order that depends on its size alone."""
    generator = torch.Generator().manual_seed(mix(TAKEN))
    return torch.randperm(data.spec.size, generator=generator)


def real(data: Dataset, places: Tensor) -> Tensor:
    """The samples at `places` on the CPU, as `Dataset.real` gives them."""
    return data.real(places.to(data.device)).cpu()
