"""What the discriminator sees: packs, noise and augmented samples."""

from __future__ import annotations

import pytest
import torch

from gan_cli.errors import ConfigError
from gan_cli.model import Batch, DataSpec
from gan_cli.models.discriminator_view import DiscriminatorView

IMAGES = DataSpec("images", (3, 4, 4), 10)
POINTS = DataSpec("points", (2,), 10)


def at(step: int) -> Batch:
    batch = Batch(torch.arange(1), lambda index: index, lambda _: None)
    batch.step = step
    return batch


def test_a_plain_view_is_the_sample_itself() -> None:
    x = torch.randn(6, 3, 4, 4)
    view = DiscriminatorView(IMAGES)
    assert view(x, at(0)) is x
    assert view.data == IMAGES


def test_packs_hold_consecutive_samples_side_by_side() -> None:
    """Lin et al. 2018, section 2: channels, or the coordinates of points."""
    x = torch.randn(6, 3, 4, 4)
    view = DiscriminatorView(IMAGES, packing=3)
    packs = view(x, at(0))
    assert view.data.shape == (9, 4, 4)
    assert torch.equal(packs[1], torch.cat([x[3], x[4], x[5]]))
    points = torch.arange(8.0).view(4, 2)
    view = DiscriminatorView(POINTS, packing=2)
    assert view.data.shape == (4,)
    assert view(points, at(0)).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_noise_falls_linearly_to_0_and_stays_there() -> None:
    view = DiscriminatorView(POINTS, noise=0.4, noise_steps=100)
    assert [view.deviation(at(step)) for step in (0, 25, 50, 100, 1000)] == pytest.approx(
        [0.4, 0.3, 0.2, 0.0, 0.0]
    )
    assert DiscriminatorView(POINTS, noise=0.4).deviation(at(10**6)) == 0.4
    x = torch.zeros(10000, 2)
    assert view(x, at(100)) is x
    torch.manual_seed(0)
    seen = view(x, at(50))
    # 20,000 draws: the mean's standard error is .0014, the deviation's .001.
    assert seen.mean().item() == pytest.approx(0.0, abs=0.006)
    assert seen.std().item() == pytest.approx(0.2, abs=0.004)
    assert not torch.equal(seen, view(x, at(50)))


def test_each_sample_of_a_pack_is_augmented_alone() -> None:
    torch.manual_seed(0)
    view = DiscriminatorView(IMAGES, packing=2, augmentations=["color"])
    ones = view(torch.ones(8, 3, 4, 4), at(0))
    assert not torch.allclose(ones[:, :3], ones[:, 3:])
    # A grey image stays grey only if its channels are augmented as one.
    torch.testing.assert_close(ones[:, 0], ones[:, 2])


def test_gradients_reach_the_samples() -> None:
    x = torch.randn(4, 3, 4, 4, requires_grad=True)
    view = DiscriminatorView(IMAGES, 2, 0.1, None, ["color", "translation"])
    view(x, at(0)).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_all_faults_are_said_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        DiscriminatorView(POINTS, 0, -1.0, 0, ["color"])
    assert str(error.value).split("\n") == [
        "model.packing = 0: must be at least 1",
        "model.instance_noise = -1: must not be negative",
        "model.instance_noise_steps = 0: must be at least 1, or null for no end",
        "model.augment = [color]: works on images, and points holds points; set model.augment=[]",
    ]
    with pytest.raises(ConfigError, match=r"\[blur\]: must be a list of some of color, transl"):
        DiscriminatorView(IMAGES, augmentations=["blur"])
