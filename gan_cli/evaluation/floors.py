"""What a metric says of real data against real data: no generator can be expected to do better."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

from gan_cli.evaluation.measure import Extractor, Features, Subject

T = TypeVar("T")

_known: dict[Hashable, object] = {}


def once(key: Hashable, compute: Callable[[], T]) -> T:
    """What `compute` returns, computed once per process for each `key`."""
    if key not in _known:
        _known[key] = compute()
    return _known[key]  # type: ignore[return-value]


def floor(
    metric: str,
    subject: Subject,
    extractor: Extractor,
    compute: Callable[[Features, Features], T],
) -> T:
    """What `compute` says of two disjoint halves of the real data; computed once per process.

    A metric with a bias that falls with the number of samples, as FID has, takes only as many of
    the first half as were generated, and says so in `metric`.
    """
    split = subject.options.split
    key = (metric, extractor.identity, subject.real(split).fingerprint, split)
    return once(key, lambda: compute(*subject.halves(extractor)))
