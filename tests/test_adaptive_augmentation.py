"""Adaptive discriminator augmentation (Karras et al. 2020)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gan_cli.adaptive_augmentation import (
    KINDS,
    AdaptiveAugmentation,
    colored,
    hue_rotation,
    moved,
    rotation,
    scaling,
    translation,
)


def images(n: int = 2, shape: tuple[int, ...] = (3, 8, 8)) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def pipeline(p: float, *kinds: str) -> AdaptiveAugmentation:
    torch.manual_seed(0)
    found = AdaptiveAugmentation(0.6, 1000.0, kinds or KINDS)
    found.p.fill_(p)
    return found


@pytest.mark.parametrize("channels", [1, 3])
def test_it_changes_nothing_while_p_is_0_and_keeps_the_shape(channels: int) -> None:
    x = images(4, (channels, 8, 6))
    torch.testing.assert_close(pipeline(0.0)(x), x, atol=1e-5, rtol=0)
    changed = pipeline(1.0)(x)
    assert changed.shape == x.shape
    assert (changed - x).abs().amax((1, 2, 3)).min() > 0.1


def test_p_follows_the_sign_of_d_on_real_images() -> None:
    """After four updates of 50 images p moves by 200 / 1,000 towards the target of .6."""
    torch.manual_seed(0)
    ada, sure, unsure = pipeline(0.0), torch.ones(50), torch.tensor([1.0, -1.0] * 25)
    values = []
    for outputs in [sure] * 9 + [unsure] * 8:
        ada.record(outputs, 50)
        ada.adapt()
        values.append(round(float(ada.p), 6))
    # The last of the nine is among the next four, whose mean sign is 1 / 4.
    assert values == [0, 0, 0] + [0.2] * 4 + [0.4] * 4 + [0.2] * 4 + [0] + [0]
    assert int(ada.updates) == 1


def test_moves_of_the_plane_by_hand() -> None:
    """Quarter turns, mirroring and shifts by whole pixels only move pixels."""
    x, one = images(), torch.ones(2)
    torch.testing.assert_close(moved(x, scaling(-one, one)), x.flip(3), atol=1e-5, rtol=0)
    turned = moved(x, rotation(one * math.pi / 2))
    torch.testing.assert_close(turned, x.rot90(1, (2, 3)), atol=1e-5, rtol=0)
    shifted = moved(x, translation(2 * one, 0 * one))
    torch.testing.assert_close(shifted[..., 2:], x[..., :-2], atol=1e-5, rtol=0)
    torch.testing.assert_close(shifted[..., :2], x[..., :2].flip(3), atol=1e-5, rtol=0)  # mirrored
    wide = moved(torch.ones(2, 1, 4, 8), rotation(one))
    assert wide.shape == (2, 1, 4, 8)


def test_colours_by_hand() -> None:
    x = images()
    turned = colored(x, hue_rotation(torch.full((2,), 2 * math.pi / 3)))
    torch.testing.assert_close(turned, x.roll(1, 1), atol=1e-5, rtol=0)  # red becomes green
    grey = pipeline(1.0)._colors(images(500, (1, 2, 2)))
    line = colored(torch.zeros(500, 1, 2, 2), grey)[:, 0, 0, 0]
    assert line.mean().item() == pytest.approx(0, abs=0.06)  # brightness, standard error .012


@pytest.mark.parametrize("kind", KINDS)
def test_each_transformation_comes_with_probability_p(kind: str) -> None:
    """A part of the images stays as it is: all transformations of the kind missed them."""
    x = images(400)
    same = (pipeline(0.3, kind)(x) - x).abs().amax((1, 2, 3)) < 1e-4
    # Transformations that change nothing count, too: one of two mirrors, one of four turns ...
    least = {"blit": 0.7**3, "geometry": 0.7**4, "color": 0.7**5}[kind]
    assert same.float().mean() > least - 0.06
    assert same.float().mean() < least + 0.25


def test_gradients_reach_the_images() -> None:
    x = images().requires_grad_()
    pipeline(1.0)(x).square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad.abs().amax((1, 2, 3)).min() > 0
