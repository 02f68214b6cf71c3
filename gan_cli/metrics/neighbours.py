"""What nearest neighbours say of two sets of samples, in blocks of bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 1 << 24  # distances that are held at once
MANIFOLD_K = 3  # neighbours for precision and recall, as in their paper's figures
DENSITY_K = 5  # for density and coverage, likewise
ROWS = 1024  # samples that are looked up at once


def nearest(queries: Tensor, bank: Tensor) -> tuple[Tensor, Tensor]:
    """Each query's nearest neighbour in `bank`: Euclidean distance float64 [n], index int64 [n].

    As `nearest_k`.
    """
    distance, index = nearest_k(queries, bank, 1)
    return distance[:, 0], index[:, 0]


def nearest_k(queries: Tensor, bank: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Each query's `k` nearest neighbours in `bank`, the nearest first.

    Looked for in float64; the distance is taken from the difference, so that a copy's is 0.

    Args:
        queries: [n, *shape], of any type.
        bank: [m, *shape], on the same device.
        k: at most m.

    Returns:
        Euclidean distances float64 [n, k], and indices int64 [n, k].

    Raises:
        ValueError: the samples' forms differ, or the bank holds fewer than `k`.
    """
    _check(queries, bank)
    if not 1 <= k <= len(bank):
        raise ValueError(f"k = {k}: must be from 1 to the {len(bank)} samples of the bank")
    centre = bank[:ROWS].to(torch.float64).flatten(1).mean(0)
    best = torch.full((len(queries), k), torch.inf, dtype=torch.float64, device=bank.device)
    index = torch.zeros(len(queries), k, dtype=torch.int64, device=bank.device)
    columns = max(1, min(BLOCK // ROWS, BLOCK // max(1, len(centre))))
    for first, piece in _pieces(bank, columns):
        near = piece.to(torch.float64).flatten(1) - centre
        for start, some in _pieces(queries, ROWS):
            rows = slice(start, start + len(some))
            squared = _squared(some.to(torch.float64).flatten(1) - centre, near)
            value, where = squared.topk(min(k, len(piece)), largest=False)
            both = torch.cat([best[rows], value], 1), torch.cat([index[rows], where + first], 1)
            order = both[0].argsort(dim=1, stable=True)[:, :k]
            best[rows], index[rows] = (x.gather(1, order) for x in both)
    for start, some in _pieces(queries, ROWS):
        rows = slice(start, start + len(some))
        for column in range(k):
            gap = some.to(torch.float64) - bank[index[rows, column]].to(torch.float64)
            best[rows, column] = gap.flatten(1).norm(dim=1)
    return best, index


class Neighbourhoods(NamedTuple):
    """How two sets of samples cover each other."""

    precision: float  # share of fakes within the real samples' balls
    recall: float  # share of real samples within the fakes' balls
    density: float  # real balls around a fake, on average, over k
    coverage: float  # share of real samples whose ball holds a fake


def neighbourhoods(
    real: Tensor, fake: Tensor, manifold_k: int = MANIFOLD_K, density_k: int = DENSITY_K
) -> Neighbourhoods:
    """Improved precision and recall, density and coverage.

    A sample's ball reaches to its k-th nearest neighbour in its own set and is closed
    (Kynkaanniemi et al. 2019, Eq. 1 and 2, k = 3; Naeem et al. 2020, section 3, k = 5).

    Args:
        real: features [n, width], all unlike each other.
        fake: features [m, width].
        manifold_k: neighbours for precision and recall.
        density_k: neighbours for density and coverage.

    Raises:
        ValueError: a set has no more than k samples.
    """
    _check(real, fake)
    for name, points in (("real", real), ("fake", fake)):
        if len(points) <= max(manifold_k, density_k):
            raise ValueError(f"{name} = {len(points)} samples: must be more than k")
    real, fake = _centred(real, fake)
    reach, wide = radii(real, (manifold_k, density_k)).unbind(1)
    (fake_reach,) = radii(fake, (manifold_k,)).unbind(1)
    precise = torch.zeros(len(fake), dtype=torch.bool, device=fake.device)
    holding, recalled, covered = 0, 0, 0
    for start, block in _squared_blocks(real, fake):  # block: [rows, m]
        rows = slice(start, start + len(block))
        precise |= (block <= reach[rows, None]).any(0)
        recalled += int((block <= fake_reach).any(1).sum())
        held = block <= wide[rows, None]
        holding += int(held.sum())
        covered += int(held.any(1).sum())
    return Neighbourhoods(
        precision=int(precise.sum()) / len(fake),
        recall=recalled / len(real),
        density=holding / (density_k * len(fake)),
        coverage=covered / len(real),
    )


def radii(points: Tensor, ks: tuple[int, ...]) -> Tensor:
    """Squared distances [n, len(ks)] to each point's k-th nearest other point, for every k."""
    found = []
    for start, block in _squared_blocks(points, points):
        _forget_self(block, start)
        smallest = block.topk(max(ks), largest=False).values  # ascending
        found.append(smallest[:, [k - 1 for k in ks]])
    return torch.cat(found)


class TwoSample(NamedTuple):
    """How well a 1-NN classifier tells two sets apart, leaving each sample out in turn."""

    accuracy: float  # the mean of both; 0.5 where the two are one distribution
    real: float  # share of real samples whose nearest neighbour is real
    fake: float  # share of fakes whose nearest neighbour is a fake


def two_sample(real: Tensor, fake: Tensor) -> TwoSample:
    """Leave-one-out accuracy of 1-NN between two sets (Lopez-Paz and Oquab 2017, section 3).

    0.5 is a perfect generator, 1 one that is told apart everywhere, 0 one that copied every real
    sample (as Xu et al. 2018 use it). Both sets count alike, and should be equally many. Where the
    nearest of each set are equally far, the other set's counts as nearer.

    Raises:
        ValueError: a set has fewer than two samples.
    """
    _check(real, fake)
    if min(len(real), len(fake)) < 2:
        raise ValueError(f"{len(real)} real and {len(fake)} fake samples: must be at least 2 each")
    real, fake = _centred(real, fake)
    across_fake = torch.full((len(fake),), torch.inf, dtype=real.dtype, device=real.device)
    across_real = []
    for _, block in _squared_blocks(real, fake):
        across_real.append(block.amin(1))
        across_fake = torch.minimum(across_fake, block.amin(0))
    real_hits = radii(real, (1,))[:, 0] < torch.cat(across_real)
    fake_hits = radii(fake, (1,))[:, 0] < across_fake
    real_share, fake_share = (x.double().mean().item() for x in (real_hits, fake_hits))
    return TwoSample((real_share + fake_share) / 2, real_share, fake_share)


def _check(a: Tensor, b: Tensor) -> None:
    if a.shape[1:] != b.shape[1:] or not len(b):
        raise ValueError(f"sets {list(a.shape)} and {list(b.shape)}: must have samples of one form")


def _pieces(x: Tensor, rows: int) -> Iterator[tuple[int, Tensor]]:
    """`x` in pieces of `rows`, each with the number of its first row."""
    for start in range(0, len(x), rows):
        yield start, x[start : start + rows]


def _centred(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both moved by the same vector, so that fewer digits cancel in |x|^2 + |y|^2 - 2xy."""
    a, b = a.flatten(1), b.flatten(1)
    centre = a.mean(0)
    return a - centre, b - centre


def _squared(a: Tensor, b: Tensor) -> Tensor:
    lengths = a.square().sum(1)[:, None] + b.square().sum(1)
    return torch.addmm(lengths, a, b.T, alpha=-2).clamp_(min=0)


def _squared_blocks(a: Tensor, b: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Squared distances of some of `a` from all of `b`, and the first one's number."""
    for start, rows in _pieces(a, max(1, BLOCK // len(b))):
        yield start, _squared(rows, b)


def _forget_self(block: Tensor, start: int) -> None:
    own = torch.arange(len(block), device=block.device)
    block[own, own + start] = torch.inf
