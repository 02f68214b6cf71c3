"""The Inception network: its form with random weights, and its features with the real ones."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from gan_cli.data.published import cache_folder
from gan_cli.errors import DataError
from gan_cli.evaluation import inception
from gan_cli.evaluation.features import place
from gan_cli.evaluation.inception import Inception, prepared, prepared_clean
from gan_cli.evaluation.inception_network import Conv, ConvWeights, convolutions, network
from gan_cli.evaluation.inception_weights import (
    PACKAGED,
    PUBLISHED,
    DamagedError,
    identity,
    packaged_file,
    read_official,
)

IDENTITY = "2f0370bc128429c844d953fd167a56da1548daf789c0bfa30e0872d256bb4d2a"
ON_DISK = (packaged_file(), cache_folder() / "inception" / PUBLISHED.name)
REAL = next((path for path in ON_DISK if path is not None and path.is_file()), None)
# Every 256th feature, from another implementation.
GOLDEN = [
    0.55431,
    0.691097,
    0.0,
    0.06764,
    0.008876,
    0.004453,
    0.00152,
    0.054706,
]
needs_weights = pytest.mark.skipif(
    REAL is None, reason="Inception's weights are neither installed nor in the cache"
)


def images(n: int, channels: int = 3, side: int = 32, seed: int = 0) -> Tensor:
    shape = (n, channels, side, side)
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(seed)).byte()


def made_up() -> list[ConvWeights]:
    """Weights that neither blow up nor vanish."""
    generator = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        shapes = [conv.conv.weight.shape for conv in convolutions(network())]
    found = []
    for shape in shapes:
        spread = (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
        numbers = torch.rand(3, shape[0], generator=generator)
        weight = torch.empty(shape).uniform_(-1.7 * spread, 1.7 * spread, generator=generator)
        found.append(ConvWeights(weight, numbers[0] - 0.5, numbers[1] - 0.5, numbers[2] + 0.5))
    return found


@pytest.fixture(scope="module")
def weights() -> list[ConvWeights]:
    return made_up()


@pytest.fixture(scope="module")
def extractor(weights: list[ConvWeights]) -> Inception:
    return Inception(weights)


def test_blocks_have_the_published_shapes(extractor: Inception) -> None:
    x, shapes = prepared(images(1)), []
    with torch.inference_mode():
        for layer in extractor.network:
            x = layer(x)
            shapes.append((x.shape[1], x.shape[-1]))
    stem = [(32, 149), (32, 147), (64, 147), (64, 73), (80, 73), (192, 71), (192, 35)]
    blocks = [(256, 35), (288, 35), (288, 35), *[(768, 17)] * 5, (1280, 8), (2048, 8), (2048, 8)]
    assert shapes[:-2] == stem + blocks
    assert x.shape == (1, 2048)


def test_pools_are_those_of_the_graph_that_fid_was_defined_with() -> None:
    with torch.device("meta"):
        pools = [m for m in network().modules() if isinstance(m, nn.MaxPool2d | nn.AvgPool2d)]
    means = [isinstance(pool, nn.AvgPool2d) for pool in pools]
    stem, a, b, c, d, e = [False] * 2, [True] * 3, [False], [True] * 4, [False], [True, False]
    assert means == stem + a + b + c + d + e
    assert not any(pool.count_include_pad for pool in pools if isinstance(pool, nn.AvgPool2d))


def test_a_folded_convolution_is_convolution_batch_norm_and_relu() -> None:
    random = torch.Generator().manual_seed(1)
    source = ConvWeights(
        torch.randn(6, 4, 3, 1, generator=random),
        torch.randn(6, generator=random),
        torch.randn(6, generator=random),
        torch.rand(6, generator=random) + 0.01,
    )
    conv = Conv(4, 6, (3, 1), 2)
    conv.take(source)
    x = torch.randn(2, 4, 9, 9, generator=random)
    plain = F.conv2d(x, source.weight, stride=2, padding=(1, 0))
    expected = F.batch_norm(plain, source.mean, source.variance, None, source.bias, eps=1e-3).relu()
    torch.testing.assert_close(conv(x), expected, rtol=1e-5, atol=1e-5)


def bilinear(image: Tensor, side: int) -> Tensor:
    """One channel [H, W], by the formula: pixel centres at 1/2, 3/2 ...; edges are repeated."""
    rows, columns = image.shape

    def places(size: int) -> tuple[list[int], list[int], list[float]]:
        at = [max((i + 0.5) * size / side - 0.5, 0.0) for i in range(side)]
        low = [min(int(x), size - 1) for x in at]
        return low, [min(i + 1, size - 1) for i in low], [x - int(x) for x in at]

    (top, bottom, down), (left, right, across) = places(rows), places(columns)
    v, h = torch.tensor(down).double()[:, None], torch.tensor(across).double()
    x = image.double()
    above = x[top][:, left] * (1 - h) + x[top][:, right] * h
    below = x[bottom][:, left] * (1 - h) + x[bottom][:, right] * h
    return above * (1 - v) + below * v


@pytest.mark.parametrize("shape", [(28, 28), (32, 48), (400, 350)])
def test_images_are_resized_by_the_formula_without_antialiasing(shape: tuple[int, int]) -> None:
    image = torch.randint(256, (1, 1, *shape), generator=torch.Generator().manual_seed(0)).byte()
    expected = bilinear(image[0, 0], 299) / 255 * 2 - 1
    for channel in prepared(image)[0]:  # a grey image becomes three equal channels
        assert (channel - expected).abs().max() < 1e-4  # places are rounded to 1e-7 of the side


def test_images_of_the_right_size_are_only_scaled() -> None:
    image = images(1, side=299)
    torch.testing.assert_close(prepared(image), image / 127.5 - 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 28), (3, 620)])
def test_clean_resizing_is_that_of_clean_fid(channels: int, side: int) -> None:
    """Parmar et al. 2022: PIL's bicubic filter on floats, channel by channel, not rounded."""
    image = images(1, channels, side)
    for plane, found in zip(image[0].expand(3, -1, -1), prepared_clean(image)[0], strict=True):
        one = Image.fromarray(plane.numpy().astype(np.float32), mode="F")
        theirs = np.asarray(one.resize((299, 299), resample=Image.Resampling.BICUBIC))
        expected = (theirs.clip(0, 255) - 128) / 128
        assert np.abs(found.numpy() - expected).max() < 1e-6
    whole = images(1, side=299)
    torch.testing.assert_close(prepared_clean(whole), (whole.float() - 128) / 128)


def test_a_smaller_image_is_a_mean_of_all_pixels_by_the_clean_rule_alone() -> None:
    x = torch.zeros(1, 1, 598, 598, dtype=torch.uint8)
    x[..., ::2, :] = 255  # rows in turn black and white: their mean is grey
    assert prepared_clean(x)[..., 5:-5, 5:-5].abs().max() < 0.05
    lines = torch.zeros(1, 1, 897, 897, dtype=torch.uint8)
    lines[..., 1::3, :] = 255
    assert prepared(lines).min() > 0.99, "without antialiasing, two rows of three are never seen"
    assert (prepared_clean(lines)[..., 5:-5, 5:-5] + 1 / 3).abs().max() < 0.05


def test_the_rule_is_told_and_kept_apart(weights: list[ConvWeights]) -> None:
    clean = Inception(weights, resize="clean")
    usual = Inception(weights)
    assert "clean-fid" in clean.resize
    assert place("f", clean) != place("f", usual)
    assert not torch.equal(clean.features(images(1))[0], usual.features(images(1))[0])


def test_features_do_not_depend_on_the_other_images(
    extractor: Inception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(inception.CHUNK, "cpu", 2)
    together, logits = extractor.features(images(3))
    alone = torch.cat([extractor.features(one[None])[0] for one in images(3)])
    assert together.shape == (3, 2048)
    assert together.dtype == torch.float32
    assert logits is None
    assert together.std() > 1e-3  # so that the comparison says something
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert extractor.features(images(0))[0].shape == (0, 2048)


def test_logits_are_features_times_the_last_layer_without_a_bias(
    extractor: Inception, weights: list[ConvWeights]
) -> None:
    last = torch.randn(1008, 2048, generator=torch.Generator().manual_seed(2))
    whole = Inception(weights, last=last)
    features, logits = whole.features(images(2))
    assert torch.equal(features, extractor.features(images(2))[0])
    assert logits is not None
    torch.testing.assert_close(logits, F.linear(features, last))
    assert (whole.classes, extractor.classes) == (1008, 0)
    assert whole.identity == extractor.identity  # features are the same


def test_grey_images_give_what_their_colour_copies_do(extractor: Inception) -> None:
    grey = images(1, channels=1, side=28)
    found, expected = extractor.features(grey)[0], extractor.features(grey.repeat(1, 3, 1, 1))[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_precision_is_full_within_autocast(extractor: Inception) -> None:
    expected = extractor.features(images(1))[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = extractor.features(images(1))[0]
    assert torch.equal(found, expected)


def test_what_is_no_picture_is_refused(extractor: Inception) -> None:
    for wrong in (images(2, channels=2), images(2).float(), images(2)[0]):
        with pytest.raises(DataError, match="Inception takes images"):
            extractor.features(wrong)


def test_identity_is_that_of_all_weights(extractor: Inception, weights: list[ConvWeights]) -> None:
    last = weights[-1]
    nudged = last._replace(variance=last.variance + 0.001 * torch.eye(len(last.variance))[-1])
    assert len(extractor.identity) == 64
    assert identity([*weights[:-1], nudged]) != extractor.identity


@pytest.fixture(scope="module")
def real() -> list[ConvWeights]:
    assert isinstance(REAL, Path)
    try:
        return read_official(REAL).convolutions
    except DamagedError as reason:
        pytest.skip(f"{REAL}: {reason}")


@needs_weights
def test_real_weights_are_known_whichever_file_they_come_from(real: list[ConvWeights]) -> None:
    assert identity(real) == IDENTITY


@needs_weights
@pytest.mark.slow
def test_real_features_are_those_of_the_reference(real: list[ConvWeights]) -> None:
    """The values are those of the package's own network, run on the same resized image."""
    steps = torch.arange(3 * 32 * 32).view(1, 3, 32, 32)
    found = Inception(real).features((steps * steps % 251).byte())[0][0]
    expected = torch.tensor(GOLDEN)
    torch.testing.assert_close(found[::256], expected, rtol=1e-4, atol=1e-5)
    assert REAL is not None
    if REAL.name != PACKAGED:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = torch.jit.load(REAL).eval()
    with torch.inference_mode():
        whole = reference(prepared((steps * steps % 251).byte()).contiguous())[0]
    torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-5)
