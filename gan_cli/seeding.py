"""Seeds derived from numbers such as (seed, step), so that nothing random has to be stored."""

from __future__ import annotations

import torch

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def _scramble(x: int) -> int:
    """The finaliser of splitmix64 (Steele et al. 2014): a bijection of 64-bit numbers."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def mix(*numbers: int) -> int:
    """Hash integers, in order, into a seed in [0, 2**63) for `torch.manual_seed` and its like.

    Torch's CPU generator looks at a seed's lower 32 bits alone, so neighbouring pairs must differ
    there in an unordered way: every bit of the result depends on every bit of every number.
    """
    state = len(numbers)
    for number in numbers:
        state = _scramble((state + _GOLDEN + _scramble((number + _GOLDEN) & _MASK)) & _MASK)
    return state >> 1


def seed_streams(seed: int, device: torch.device) -> None:
    """Seed torch's random streams of the CPU and of `device`.

    `torch.manual_seed` does so for all kinds of devices, and where CUDA is not yet in use it spends
    a quarter of a millisecond on recording the caller.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):  # threads begin at the first one
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
