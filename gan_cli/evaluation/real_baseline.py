"""What a metric says of real data against real data: no generator can be expected to do better."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

import torch
from torch import Tensor

from gan_cli.data.dataset import Dataset
from gan_cli.evaluation.metric import Extractor, Features, SampleBatch, Subject
from gan_cli.model import Batch
from gan_cli.seeding import mix

T = TypeVar("T")

_known: dict[Hashable, object] = {}


def once(key: Hashable, compute: Callable[[], T]) -> T:
    """What `compute` returns, computed once per process for each `key`."""
    if key not in _known:
        _known[key] = compute()
    return _known[key]  # type: ignore[return-value]


def baseline(
    metric: str,
    subject: Subject,
    extractor: Extractor,
    compute: Callable[[Features, Features], T],
) -> T:
    """What `compute` says of two disjoint halves of the real data; computed once per process.

    A metric with a bias that falls with the number of samples, as FID has, takes only as many of
    the first half as were generated, and says so in `metric`.
    """
    what = extractor.identity, extractor.resize
    key = (metric, *what, subject.protocol()["data_sha256"], subject.options.split)
    return once(key, lambda: compute(*subject.halves(extractor)))


TAKEN = 0x7A4E  # the random stream that picks real samples; the same for everybody


def generated(subject: Subject, n: int, even: bool = False) -> SampleBatch:
    """Samples 0 ... n-1 in one piece; `even` as in `Subject.draw`."""
    pieces = list(subject.draw(n, even=True) if even else subject.draw(n))
    labels = [piece.labels for piece in pieces if piece.labels is not None]
    return SampleBatch(
        torch.cat([piece.samples for piece in pieces]), torch.cat(labels) if labels else None
    )


def shuffled(data: Dataset) -> Tensor:
    """All places of `data`, int64 [size] on the CPU, in an order that depends on its size alone."""
    generator = torch.Generator().manual_seed(mix(TAKEN))
    return torch.randperm(data.spec.size, generator=generator)


def batch_of(data: Dataset, places: Tensor, device: torch.device) -> Batch:
    """The samples at `places` as a batch on `device`, where the model is."""

    def labels(index: Tensor) -> Tensor | None:
        known = data.labels(index)
        return None if known is None else known.to(device)

    return Batch(places.to(device), lambda index: data.real(index).to(device), labels)


def real(data: Dataset, places: Tensor) -> Tensor:
    """The samples at `places` on the CPU, as `Dataset.real` gives them."""
    return data.real(places.to(data.device)).cpu()
