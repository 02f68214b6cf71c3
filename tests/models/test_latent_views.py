"""The way between two tilted digits, and the plane of two latents."""

from __future__ import annotations

import math

import pytest
import torch
from linear_networks import batch_of
from torch import Tensor, nn
from torch.distributions import Normal

from gan_cli.model import DataSpec, Phase
from gan_cli.models.encoder import EncoderModel
from gan_cli.models.pictures import SIDE, STEPS, between, opposites, plane, tilt
from gan_cli.priors import Gaussian, Prior, Uniform


def bars(slants: list[float]) -> Tensor:
    """A bar of 21 rows in each image, that goes `slant` columns to the right per row upwards."""
    images = torch.full((len(slants), 1, 29, 29), -1.0)
    for image, slant in zip(images, slants, strict=True):
        for up in range(-10, 11):
            image[0, 14 - up, 14 + round(slant * up)] = 1.0
    return images


def test_the_tilt_is_that_of_a_bar() -> None:
    found = tilt(bars([0.0, 0.5, -1.0, 1.0]))
    assert found.tolist() == pytest.approx([0.0, 0.5, -1.0, 1.0], abs=0.02)
    assert found[0].item() == 0.0
    assert torch.isfinite(tilt(torch.full((1, 1, 5, 5), -1.0))).all()  # nothing to see


def test_opposites_lean_most_within_their_class() -> None:
    images = bars([0.0, 0.5, -0.5, 1.0, 0.2, -0.1])
    labels = torch.tensor([7, 7, 7, 4, 4, 2])
    assert opposites(images, labels, 5).tolist() == [[2, 1], [4, 3]]  # the widest first
    assert opposites(images, labels, 1).tolist() == [[2, 1]]
    assert opposites(images, None, 2).tolist() == [[2, 3], [5, 1]]
    assert opposites(images[:1], labels[:1], 5).shape == (0, 2)


@pytest.mark.parametrize("conditional", [False, True])
def test_between_two_digits_codes_and_pixels_go_straight(conditional: bool) -> None:
    images = bars([0.0, 1.0, -1.0])
    batch = batch_of(images, torch.zeros(3, dtype=torch.int64))
    asked = []

    def encode(x: Tensor, y: Tensor | None) -> Tensor:
        asked.append(y)
        return tilt(x)[:, None].float()

    def decode(codes: Tensor, y: Tensor | None) -> Tensor:
        asked.append(y)
        return codes[:, :, None, None].expand(-1, 1, 29, 29)

    grid = between(batch, encode, decode, conditional)
    assert grid is not None
    assert grid.columns == STEPS + 2
    decoded, mixed = grid.images.split(STEPS + 2)
    for row in (decoded, mixed):
        assert torch.equal(row[0], images[2])
        assert torch.equal(row[-1], images[1])
    way = decoded[1:-1, 0, 0, 0]
    torch.testing.assert_close(way, torch.linspace(-1, 1, STEPS), rtol=0, atol=1e-6)
    assert torch.equal(mixed[1], images[2])
    torch.testing.assert_close(mixed[1 + STEPS // 2], (images[1] + images[2]) / 2)
    assert [y is not None for y in asked] == [conditional] * 2
    assert between(batch.at(torch.tensor([0])), encode, decode, False) is None


def test_the_plane_goes_through_the_quantiles() -> None:
    seen = []

    def decode(z: Tensor) -> Tensor:
        seen.append(z)
        return torch.zeros(len(z), 1, 2, 2)

    grid = plane(decode, torch.device("cpu"))
    assert grid.columns == SIDE
    z = seen[0].view(SIDE, SIDE, 2)
    assert torch.equal(z[SIDE // 2, SIDE // 2], torch.zeros(2))
    assert (z[0, :, 1] > 0).all()  # the second latent grows upwards
    shares = Normal(0.0, 1.0).cdf(z[0, :, 0])
    torch.testing.assert_close(shares, (torch.arange(SIDE) + 0.5) / SIDE)
    assert math.isclose(float(z[-1, 0, 0]), float(z[-1, 0, 1]), rel_tol=1e-5)


class Tilts(EncoderModel):
    """Encodes how far an image leans; no weight is learned."""

    def __init__(self, prior: Prior, image: bool = True) -> None:
        super().__init__()
        self.prior = prior
        self.data = DataSpec("bars", (1, 29, 29) if image else (2,), 3)
        self.weight = nn.Parameter(torch.ones(()))

    def phases(self) -> list[Phase]:
        return []

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return tilt(x)[:, None].float().expand(-1, self.prior.dim)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return z[:, :1, None, None].expand(-1, 1, 29, 29)


@pytest.mark.parametrize(
    ("prior", "drawn"), [(Gaussian(2), True), (Gaussian(3), False), (Uniform(2), False)]
)
def test_the_plane_is_that_of_two_gaussian_latents_alone(prior: Prior, drawn: bool) -> None:
    batch = batch_of(bars([0.0, 1.0, -1.0]))
    views = Tilts(prior).views(batch, lambda x: None)
    assert set(views) == {"theory/interpolation"} | ({"theory/latent_plane"} if drawn else set())
    assert Tilts(prior, image=False).views(batch, lambda x: None) == {}


def test_codes_are_decoded_into_samples_and_reconstructions() -> None:
    model, x = Tilts(Gaussian(2)), bars([0.5, -1.0])
    torch.testing.assert_close(
        model.reconstruct(batch_of(x)), model.decode(model.encode(x)), rtol=0, atol=0
    )
    torch.manual_seed(0)
    z = model.prior.sample(4)
    torch.manual_seed(0)
    assert torch.equal(model.sample(4), model.decode(z))
