"""p(x | z) against torch's distributions, and pixels drawn black or white."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Bernoulli, Normal

from gan_cli.model import DataSpec
from gan_cli.models.latent_variables import binarised, observation

IMAGES = DataSpec("images", (1, 3, 4), 100)
POINTS = DataSpec("points", (2,), 100)


def test_bernoulli_is_that_of_twice_the_raw_output() -> None:
    torch.manual_seed(0)
    raw = 3 * torch.randn(5, 7, 1, 3, 4).double()  # also of several latents for each image
    x = torch.where(torch.rand(5, 1, 1, 3, 4) < 0.5, 1.0, -1.0).double()
    observed = observation(IMAGES, "auto")
    expected = Bernoulli(logits=2 * raw).log_prob(((x + 1) / 2).expand_as(raw)).sum((2, 3, 4))
    torch.testing.assert_close(observed.log_prob(x, raw), expected)
    torch.testing.assert_close(observed.mean(raw), 2 * Bernoulli(logits=2 * raw).mean - 1)


@pytest.mark.parametrize(("data", "bounded"), [(IMAGES, True), (POINTS, False)])
def test_gaussian_has_one_deviation(data: DataSpec, bounded: bool) -> None:
    torch.manual_seed(0)
    raw, x = torch.randn(2, 6, *data.shape)
    observed = observation(data, "gaussian", 0.3)
    mean = raw.tanh() if bounded else raw
    assert torch.equal(observed.mean(raw), mean)
    expected = Normal(mean, 0.3).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(observed.log_prob(x, raw), expected)
    assert [name for name, _ in observation(data, "gaussian").named_parameters()] == [
        "log_deviation"
    ]
    assert not list(observed.parameters())


@pytest.mark.parametrize("how", ["dynamic", "fixed"])
def test_pixels_are_white_as_often_as_they_are_bright(how: str) -> None:
    """20,000 draws each: standard error at most .0035, four of them."""
    torch.manual_seed(0)
    brightness = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0])
    x = (2 * brightness - 1).expand(20_000, 5)
    drawn = binarised(x, torch.arange(20_000), how)
    assert set(drawn.unique().tolist()) == {-1.0, 1.0}
    torch.testing.assert_close((drawn.mean(0) + 1) / 2, brightness, rtol=0, atol=0.014)
    assert (drawn[:, 0] == -1).all()
    assert (drawn[:, 4] == 1).all()
    # No two pixels, and no pixel of two neighbours, go together.
    middle = drawn[:, 1:4] - drawn[:, 1:4].mean(0)
    for left, right in ((middle[:, 0], middle[:, 1]), (middle[1:, 1], middle[:-1, 1])):
        assert abs((left * right).mean() / (left.std() * right.std())) < 4 / 141


def test_fixed_is_a_function_of_the_place_alone() -> None:
    x = torch.rand(6, 1, 3, 4) * 2 - 1
    index = torch.tensor([5, 1, 9, 70_000, 3, 0])
    drawn = binarised(x, index, "fixed")
    assert torch.equal(drawn[2:4], binarised(x[2:4], index[2:4], "fixed"))
    assert not torch.equal(drawn, binarised(x, index + 1, "fixed"))
    assert not torch.equal(binarised(x, index, "dynamic"), binarised(x, index, "dynamic"))
    assert torch.equal(binarised(x, index, "none"), x)
