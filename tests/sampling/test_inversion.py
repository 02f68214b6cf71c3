"""Inversion and completion where the answer is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from composing import little, session_of
from PIL import Image
from torch import Tensor

from gan_cli.errors import ConfigError, DataError
from gan_cli.model import DataSpec, Model, Phase
from gan_cli.models.autoencoder import Autoencoder
from gan_cli.priors import Categorical, Gaussian, Prior, Product, Uniform
from gan_cli.sampling.completion import blended, hole_psnr, known_pixels
from gan_cli.sampling.inversion import Target, features_of, importance, invert


class Ramps(Model):
    """Images that are planes: z = (level, slope down, slope to the right)."""

    def __init__(self, prior: Prior) -> None:
        super().__init__()
        self.data, self.prior = DataSpec("ramps", (1, 8, 8), 10), prior
        self.register_parameter("unused", torch.nn.Parameter(torch.zeros(1)))

    def phases(self) -> list[Phase]:
        return []

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        return self.generate(self.prior.sample(n))

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        line = torch.linspace(-1, 1, 8)
        level, down, right = (z[:, i, None, None] / 4 for i in range(3))
        return (level + down * line[:, None] + right * line)[:, None]


TRUE = torch.tensor([[0.5, -1.0, 0.2], [-0.3, 0.4, 0.9]])


def test_the_latents_of_generated_images_are_found() -> None:
    model = Ramps(Gaussian(3))
    found = invert(model, Target(model.generate(TRUE)), starts=3, steps=300)
    # The prior's term pulls a little towards 0.
    assert torch.allclose(found.z, TRUE, atol=0.05)
    assert torch.allclose(found.images, model.generate(found.z), atol=1e-6)
    alone = invert(model, Target(model.generate(TRUE[1:])), starts=3, steps=300)
    assert torch.allclose(alone.z, found.z[1:], atol=1e-5)


def test_latents_stay_where_the_prior_has_mass() -> None:
    model = Ramps(Uniform(3, -0.25, 0.25))
    found = invert(model, Target(model.generate(TRUE)), starts=2, steps=50)
    assert found.z.abs().max() <= 0.25
    assert torch.equal(found.z[0].sign(), TRUE[0].sign())


def test_only_known_pixels_count() -> None:
    model = Ramps(Gaussian(3))
    images = model.generate(TRUE)
    known = known_pixels("bottom", (8, 8), 2, 0)
    spoilt = torch.where(known > 0, images, torch.ones(()))
    found = invert(model, Target(spoilt, known), starts=3, steps=300)
    done = blended(found.images, spoilt, known)
    assert torch.equal(done[..., :4, :], images[..., :4, :])
    assert (hole_psnr(done, images, known) > 25).all()
    smooth = blended(torch.zeros_like(images), spoilt, known)
    assert (hole_psnr(done, images, known) > hole_psnr(smooth, images, known)).all()


def test_without_a_model_a_hole_is_filled_smoothly() -> None:
    ramp = torch.linspace(-1, 1, 9).expand(1, 1, 9, 9)
    known = torch.ones(1, 1, 9, 9)
    known[..., 3:6, 3:6] = 0
    # A plane is harmonic, so it comes back exactly; and the gradients of a copy do, too.
    for guide in (torch.zeros_like(ramp), ramp + 0.3):
        assert torch.allclose(blended(guide, ramp, known), ramp, atol=1e-5)


def test_the_psnr_of_a_hole_counts_its_pixels_alone() -> None:
    true, known = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    known[..., 0, 0] = 0
    made = true.clone()
    made[..., 0, 0], made[..., 3, 3] = 0.2, 1.0
    assert hole_psnr(made, true, known).item() == pytest.approx(10 * math.log10(4 / 0.04))


def test_pixels_beside_a_hole_count_more() -> None:
    known = torch.ones(1, 1, 15, 15)
    known[..., 7, 7] = 0
    found = importance(known)[0, 0]
    assert found[7, 7] == 0
    assert found[7, 8] == pytest.approx(1 / 49)
    known[..., 6, 6:9] = 0
    assert importance(known)[0, 0, 7, 8] == pytest.approx(4 / 49)


@pytest.mark.parametrize(
    ("mask", "share"),
    [("center", 0.75), ("left", 0.5), ("right", 0.5), ("top", 0.5), ("bottom", 0.5)],
)
def test_masks(mask: str, share: float) -> None:
    assert known_pixels(mask, (8, 8), 2, 0).mean().item() == share


def test_random_masks_are_each_image_s_own() -> None:
    many, few = (known_pixels("random", (28, 28), n, 5) for n in (3, 1))
    assert torch.equal(many[:1], few)
    assert not torch.equal(many[0], many[1])
    assert many.mean().item() == pytest.approx(0.2, abs=0.03)


def test_masks_of_files(tmp_path: Path) -> None:
    levels = np.full((8, 8), 255, np.uint8)
    levels[2:4] = 0
    Image.fromarray(levels).save(tmp_path / "mask.png")
    known = known_pixels(str(tmp_path / "mask.png"), (8, 8), 1, 0)
    assert known[0, 0].sum(1).tolist() == [8, 8, 0, 0, 8, 8, 8, 8]
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(tmp_path / "white.png")
    with pytest.raises(ConfigError, match="there is no hole"):
        known_pixels(str(tmp_path / "white.png"), (8, 8), 1, 0)
    with pytest.raises(DataError, match="middle: no such file, and none of center, left"):
        known_pixels("middle", (8, 8), 1, 0)


class Coded(Ramps):
    """Ramps of which the right latents are known to an encoder, of class 2 alone."""

    conditional = True

    def __init__(self) -> None:
        super().__init__(Gaussian(3))
        self.data = DataSpec("ramps", (1, 8, 8), 10, 3, ("a", "b", "c"))

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return super().generate(z)

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        assert y is not None
        return torch.where(y[:, None] == 2, TRUE[: len(x)], torch.full((len(x), 3), 9.0))


def test_each_class_begins_with_a_code_of_its_own() -> None:
    model = Coded()
    found = invert(model, Target(model.generate(TRUE)), starts=3, steps=0)
    assert torch.equal(found.z, TRUE)
    assert found.y is not None
    assert found.y.tolist() == [2, 2]


def test_each_category_has_a_start() -> None:
    class Chosen(Ramps):
        def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
            return (z[:, 1:] @ torch.linspace(-1, 1, 12))[:, None, None, None].expand(-1, 1, 8, 8)

    model = Chosen(Product(noise=Gaussian(1), category=Categorical(12)))
    wanted = torch.eye(13)[1:]
    found = invert(model, Target(model.generate(wanted)), starts=8, steps=0)
    assert torch.equal(found.z[:, 1:], wanted[:, 1:])


def test_an_autoencoder_begins_where_its_codes_are_decoded() -> None:
    model = session_of(*little("autoencoder")).model
    assert isinstance(model, Autoencoder)
    codes = torch.randn(500, model.prior.dim) @ torch.randn(model.prior.dim, model.prior.dim) + 3
    model.fit.train()
    model.fit.record(codes)
    model.eval()
    torch.testing.assert_close(model.fit(model.latents_of(codes)), codes, atol=1e-3, rtol=1e-3)
    x = torch.rand(2, *model.data.shape) * 2 - 1
    with torch.no_grad():
        model.fit.square.copy_(
            torch.eye(model.prior.dim) + torch.outer(model.fit.mean, model.fit.mean)
        )
        coded = model.decode(model.encode(x))
        limit = (coded - x).square().flatten(1).mean(1)
        found = invert(model, Target(x), starts=1, steps=0)
    torch.testing.assert_close((found.images - x).square().flatten(1).mean(1), limit)


@pytest.mark.parametrize(("model", "has"), [("dcgan", True), ("bigan", False), ("aae", False)])
def test_features_are_those_of_discriminators_of_samples(model: str, has: bool) -> None:
    made = session_of(*little(model)).model.eval()
    assert (features_of(made) is not None) == has
    found = invert(made, Target(torch.zeros(1, 1, 28, 28)), starts=2, steps=1)
    assert found.images.shape == (1, 1, 28, 28)
