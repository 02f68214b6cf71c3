"""What a metric says of real data against real data: no generator can be expected to do better."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gan_cli.evaluation.measure import Extractor, Features, Subject

T = TypeVar("T")

_known: dict[tuple[str, ...], object] = {}


def floor(
    metric: str,
    subject: Subject,
    extractor: Extractor,
    compute: Callable[[Features, Features], T],
) -> T:
    """What `compute` says of two disjoint halves of the real data; computed once per process.

    Each half has half the samples, so a metric with a bias that falls with their number, as FID
    has, is a little higher there than it would be between two sets of full size.
    """
    split = subject.options.split
    key = (metric, extractor.identity, subject.real(split).fingerprint, split)
    if key not in _known:
        _known[key] = compute(*subject.halves(extractor))
    return _known[key]  # type: ignore[return-value]
