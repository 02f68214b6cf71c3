"""Orthogonal wavelets and the matrices made of them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from numpy import ndarray
from numpy.polynomial import polynomial
from scipy.signal import upfirdn
from scipy.special import comb

from gan_cli.wavelets import (
    REACH,
    SYMLET_2,
    SYMLET_6,
    bands,
    doubling,
    filter_bank,
    halving,
    mirrored,
)


def factorised(moments: int) -> list[ndarray]:
    """Every orthogonal filter of that many vanishing moments and twice as many taps.

    |H|^2 is cos^2(w/2)^N times the sum over k of C(N - 1 + k, k) sin^2(w/2)^k (Daubechies 1992,
    section 6.1); H takes one of each pair of roots of that sum in z.
    """
    inner = np.array([comb(moments - 1 + k, k) for k in range(moments)])
    pairs = []
    for y in polynomial.polyroots(inner):  # sin^2 = (2 - z - 1/z) / 4
        z = polynomial.polyroots([1, 4 * y - 2, 1])
        if y.imag >= 0:
            pairs.append([(z[0], z[0].conj()), (z[1], z[1].conj())] if y.imag else [z[:1], z[1:]])
    found = []
    for chosen in product(*pairs):
        line = polynomial.polyfromroots([-1.0] * moments + [z for pair in chosen for z in pair])
        found.append(line.real * np.sqrt(2) / line.real.sum())
    return found


@pytest.mark.parametrize("filter_", [SYMLET_2, SYMLET_6], ids=["two", "six"])
def test_symlets_are_orthogonal_and_of_the_family(filter_: ndarray) -> None:
    shifts = [filter_[2 * k :] @ filter_[: len(filter_) - 2 * k] for k in range(len(filter_) // 2)]
    np.testing.assert_allclose(shifts, [1, *[0] * (len(shifts) - 1)], atol=1e-12)
    family = factorised(len(filter_) // 2)
    assert min(abs(one - filter_).max() for one in family) < 1e-8


def test_the_symlet_of_six_moments_is_the_least_asymmetric_of_its_family() -> None:
    def asymmetry(line: ndarray) -> float:
        """How far the phase is from a straight line."""
        angle = np.linspace(0.01, 2.5, 200)
        phase = np.unwrap(np.angle(np.exp(-1j * np.outer(angle, np.arange(12))) @ line))
        slope = (phase @ angle) / (angle @ angle)
        return float(abs(phase - slope * angle).max())

    least = min(asymmetry(one) for one in factorised(6))
    assert asymmetry(SYMLET_6) == pytest.approx(least, rel=1e-4)


def test_resampling_is_scipy_s_and_halving_undoes_doubling() -> None:
    """`upfirdn` inserts zeros, filters and drops pixels; its output begins with the first tap."""
    size, taps = 20, SYMLET_6 / SYMLET_6.sum()
    x = np.random.default_rng(0).normal(size=size)
    wide = np.pad(x, size - 1, mode="reflect")
    fine = doubling(size).double().numpy() @ x
    assert fine.shape == (6 * size - 4,)
    np.testing.assert_allclose(fine, 2 * upfirdn(taps, wide, up=2)[5:-5], atol=1e-6)
    first = 2 * (size - 1 - REACH)
    part = fine[first : first + 2 * (size + 2 * REACH)]
    coarse = halving(size).double().numpy() @ part
    # Twelve taps back to front: outputs 11, 13, 15 ... see no zeros before the first pixel.
    np.testing.assert_allclose(coarse, upfirdn(taps[::-1], part[1:-1])[11:-11:2], atol=1e-6)
    np.testing.assert_allclose(coarse, x, atol=1e-6)


def test_bands_are_products_of_the_low_pass_and_add_up_to_all() -> None:
    """|H(w)|^2 / 2 at w, 2w and 4w, against its complement, on 64 frequencies."""
    length = 64
    low = abs(np.fft.fft(SYMLET_2, length)) ** 2 / 2
    high = 1 - low

    def at(values: ndarray, factor: int) -> ndarray:
        return values[factor * np.arange(length) % length]

    wanted = [
        low * at(low, 2) * at(low, 4),
        low * at(low, 2) * at(high, 4),
        low * at(high, 2),
        high,
    ]
    bank = filter_bank()
    assert bank.shape == (4, 43)
    np.testing.assert_allclose(bank, bank[:, ::-1], atol=1e-12)
    turned = np.roll(np.pad(bank, [(0, 0), (0, length - 43)]), -21, axis=1)
    np.testing.assert_allclose(np.fft.fft(turned).real, wanted, atol=1e-12)
    np.testing.assert_allclose(sum(wanted), 1, atol=1e-12)
    torch.testing.assert_close(bands(9).sum(0), torch.eye(9), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("size", "margin"), [(5, 4), (3, 9), (1, 2)])
def test_images_continue_mirrored(size: int, margin: int) -> None:
    wanted = np.pad(np.arange(size), margin, mode="reflect")
    assert (mirrored(size, margin) @ np.arange(size)).tolist() == wanted.tolist()
