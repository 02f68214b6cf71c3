"""PSNR, SSIM and the Laplacian on images whose values are known by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import torch

from gan_cli.metrics.images import K1, SCALES, laplacian, ms_ssim, psnr, smoothed, ssim

NOISE = torch.rand(3, 2, 16, 20, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_psnr_of_a_constant_error() -> None:
    """An error of 0.2 everywhere is a hundredth of the span's square: 20 dB."""
    torch.testing.assert_close(psnr(NOISE + 0.2, NOISE), torch.full((3,), 20.0).double())
    assert psnr(NOISE, NOISE).isinf().all()
    one = torch.zeros(1, 1, 2, 2)
    other = one.clone()
    other[0, 0, 0, 0] = 2  # of four pixels: MSE 1
    assert psnr(one, other).item() == pytest.approx(10 * math.log10(4))


def test_ssim_of_equal_and_of_flat_images() -> None:
    torch.testing.assert_close(ssim(NOISE, NOISE), torch.ones(3).double())
    # Flat ones differ in luminance alone: (2ab + C1) / (a^2 + b^2 + C1) at a = 1/2, b = 1/4.
    flat, darker = torch.zeros(1, 1, 12, 12), torch.full((1, 1, 12, 12), -0.5)
    expected = (0.25 + K1**2) / (0.3125 + K1**2)
    assert ssim(flat, darker).item() == pytest.approx(expected)
    assert ssim(darker, flat).item() == pytest.approx(expected)


def test_ssim_of_a_negative_is_that_of_opposite_structure() -> None:
    """Around a mean of 1/2, x and 1 - x have equal variances and the opposite covariance."""
    images = NOISE[:1, :1]
    mean = smoothed(((images + 1) / 2).double())
    variance = smoothed(((images.double() + 1) / 2).square()) - mean.square()
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean * (1 - mean) + c1) / (mean.square() + (1 - mean).square() + c1)
    expected = (luminance * (c2 - 2 * variance) / (c2 + 2 * variance)).mean().item()
    assert ssim(images, -images).item() == pytest.approx(expected, rel=1e-6)
    assert expected < -0.5


def test_the_window_is_a_gaussian_of_sum_one() -> None:
    point = torch.zeros(1, 1, 21, 21, dtype=torch.float64)
    point[0, 0, 10, 10] = 1
    window = smoothed(point)[0, 0]
    assert window.shape == (11, 11)
    assert window.sum().item() == pytest.approx(1)
    assert (window[5, 6] / window[5, 5]).item() == pytest.approx(math.exp(-1 / 4.5))
    with pytest.raises(ValueError, match="smaller than the window"):
        ssim(NOISE[..., :10], NOISE[..., :10])


def test_the_laplacian_of_a_slope_and_of_a_bowl() -> None:
    y, x = torch.meshgrid(torch.arange(5.0), torch.arange(6.0), indexing="ij")
    plane, bowl = (z.view(1, 1, 5, 6) for z in (3 * x - y + 1, x * x + 2 * y * y))
    torch.testing.assert_close(laplacian(plane), torch.zeros(1, 1, 3, 4).double())
    torch.testing.assert_close(laplacian(bowl), torch.full((1, 1, 3, 4), 6.0).double())


def test_ms_ssim_of_equal_and_of_flat_images() -> None:
    torch.testing.assert_close(ms_ssim(NOISE, NOISE), torch.ones(3).double())
    # Flat ones differ in luminance alone, which counts at the coarsest scale.
    flat, darker = torch.zeros(1, 1, 32, 32), torch.full((1, 1, 32, 32), -0.5)
    luminance = (0.25 + K1**2) / (0.3125 + K1**2)
    assert ms_ssim(flat, darker).item() == pytest.approx(luminance ** SCALES[-1])
    with pytest.raises(ValueError, match="no five scales"):
        ms_ssim(NOISE[..., :15, :], NOISE[..., :15, :])


def test_ms_ssim_is_the_product_over_scales_by_hand() -> None:
    random = torch.Generator().manual_seed(3)
    x = torch.rand(1, 1, 16, 16, generator=random, dtype=torch.float64)
    y = (x + torch.rand(1, 1, 16, 16, generator=random, dtype=torch.float64)) / 2
    made, expected = (2 * x - 1, 2 * y - 1), 1.0
    for scale, exponent in enumerate(SCALES):
        m, n = smoothed(x), smoothed(y)
        v, w = smoothed(x * x) - m * m, smoothed(y * y) - n * n
        structure = (2 * (smoothed(x * y) - m * n) + 0.03**2) / (v + w + 0.03**2)
        if scale == 4:
            structure = structure * (2 * m * n + 0.01**2) / (m * m + n * n + 0.01**2)
        else:
            x, y = (z.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5)) for z in (x, y))
        expected *= structure.mean().item() ** exponent
    assert ms_ssim(*made).item() == pytest.approx(expected)
    assert 0.5 < expected < 0.999


def authors(first: np.ndarray, second: np.ndarray) -> float:
    """The product over scales as Odena et al.'s code computes it, on images [H, W] in [0, 1].

    Filters of 2x2 reflect at the edges, and each second pixel stays; so odd sides round up.
    """
    found = 1.0
    for scale, exponent in enumerate(SCALES):
        size = min(11, *first.shape)
        places = np.arange(size) - (size - 1) / 2
        row = np.exp(-(places**2) / 2 / (1.5 * size / 11) ** 2)
        window = np.outer(row, row) / row.sum() ** 2
        m, n, xx, yy, xy = (
            scipy.signal.fftconvolve(z, window, mode="valid")
            for z in (first, second, first**2, second**2, first * second)
        )
        value = (2 * (xy - m * n) + 0.03**2) / (xx - m * m + yy - n * n + 0.03**2)
        if scale == 4:
            value = value * (2 * m * n + 0.01**2) / (m * m + n * n + 0.01**2)
        found *= max(value.mean(), 0) ** exponent
        first, second = (
            scipy.ndimage.convolve(z, np.full((2, 2), 0.25), mode="reflect")[::2, ::2]
            for z in (first, second)
        )
    return found


@pytest.mark.parametrize("shape", [(28, 28), (17, 30), (64, 64)])
def test_ms_ssim_of_odd_sides_is_that_of_the_authors_code(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    first = random.random(shape)
    second = (2 * first + random.random(shape)) / 3
    ours = ms_ssim(*(torch.from_numpy(2 * z - 1)[None, None] for z in (first, second))).item()
    assert ours == pytest.approx(authors(first, second), abs=1e-7)
    assert 0.3 < ours < 0.99
