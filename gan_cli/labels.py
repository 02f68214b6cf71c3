"""Classes of samples to be generated, in the shares that the classes have in the data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor


def in_shares(counts: Sequence[int], first: int, n: int) -> Tensor:
    """The classes of samples `first` ... `first + n - 1` of a fixed sequence, int64 [n].

    Of its first m classes, whatever m is, each has its share of them up to one. Where all counts
    are equal it is 0, 1, 2 ... over and over.

    Args:
        counts: how many samples of each class the data have; at least one is above 0.
        first: where in the sequence to begin.
        n: how many.
    """
    room = 1 << (first + n).bit_length()
    return _sequence(tuple(counts), room)[first : first + n]


@lru_cache(maxsize=4)
def _sequence(counts: tuple[int, ...], n: int) -> Tensor:
    """The first `n` classes: the j-th sample of class k is due at (j + 1/2) / share_k.

    (Webster's method of apportionment.)
    """
    total = sum(counts)
    due, whose = [], []
    for label, count in enumerate(counts):
        most = (n + len(counts)) * count // total + 2 if count else 0
        due.append((2 * torch.arange(most, dtype=torch.float64) + 1) * total / (2 * max(count, 1)))
        whose.append(torch.full((most,), label))
    order = torch.cat(due).sort(stable=True).indices[:n]
    return torch.cat(whose)[order]


def upper_ends(counts: Sequence[int]) -> Tensor:
    """Where in [0, 1) each class's interval ends, as long as its share; float32 [classes - 1].

    The last class ends at 1.
    """
    shares = torch.tensor(counts, dtype=torch.float64).cumsum(0) / sum(counts)
    return shares[:-1].float()


def drawn(ends: Tensor, n: int) -> Tensor:
    """`n` classes drawn independently, int64 [n], from torch's stream; `ends` by `upper_ends`."""
    return (torch.rand(n, 1, device=ends.device) >= ends).sum(1)
