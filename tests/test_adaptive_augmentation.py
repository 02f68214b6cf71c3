"""Adaptive discriminator augmentation (Karras et al. 2020)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from gan_cli.adaptive_augmentation import (
    KINDS,
    PIPELINES,
    AdaptiveAugmentation,
    Pipeline,
    Reading,
    colored,
    hue_rotation,
    rotation,
    scaling,
    strengths,
    translation,
)
from gan_cli.adaptive_augmentation import pipeline as pipeline_of
from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec

# Of NVlabs/stylegan2-ada-pytorch, training/augment.py, on `waves()` after `a.p.fill_(.7)` and
# `torch.manual_seed(3)`: y[:, 0, 5, 7] and y.abs().mean() for the pipelines of its train.py.
AUTHORS = {
    "blit": [-0.83212, -0.16621, 0.99744, 0.63152],
    "geom": [0.85433, 0.26741, -0.65959, 0.54536],
    "color": [1.44284, -0.27987, -0.42524, 0.47396],
    "filter": [-0.29123, 0.94794, 0.3773, 0.53093],
    "noise": [-0.84067, 0.71465, 0.51735, 0.63791],
    "cutout": [0.0, 0.71465, 0.53659, 0.52136],
    "bg": [-0.15556, -0.79412, -0.49597, 0.52155],
    "bgc": [0.09945, -0.95874, 0.97339, 0.46386],
    "bgcf": [0.13845, -1.55209, 1.31241, 0.68671],
    "bgcfn": [0.03633, -1.55209, 1.31241, 0.68814],
    "bgcfnc": [0.03633, -1.55209, 1.31241, 0.5271],
}
# The pipeline of brownvc/R3GAN, with brightness=.5 and so on; and bgcfnc on the first channel.
R3GAN = {"blit": 1.0, "geometry": 1.0, "color": 0.5, "cutout": 1.0}
AUTHORS_R3GAN = [0.09825, -0.71408, 0.0, 0.35327]
AUTHORS_GREY = [0.25537, -0.26241, 0.5402, 0.5017]
# Single transformations there with debug_percentile=.8, which stands for the following draws.
UNIFORM, NORMAL = 0.8, torch.erfinv(torch.tensor(0.6)).expand(3)


def images(n: int = 2, shape: tuple[int, ...] = (3, 8, 8)) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def waves() -> Tensor:
    return torch.sin(torch.arange(3 * 3 * 24 * 28) * 0.37).reshape(3, 3, 24, 28)


def pipeline(p: float, kinds: Pipeline, shape: tuple[int, ...] = (3, 8, 8)) -> AdaptiveAugmentation:
    torch.manual_seed(0)
    found = AdaptiveAugmentation(shape, strengths(kinds), 0.6, 1000.0)
    found.p.fill_(p)
    return found


def seen(y: Tensor) -> list[float]:
    return [*y[:, 0, 5, 7].tolist(), float(y.abs().mean())]


@pytest.mark.parametrize(
    ("kinds", "wanted"), [*AUTHORS.items(), (R3GAN, AUTHORS_R3GAN)], ids=[*AUTHORS, "r3gan"]
)
def test_the_authors_numbers_for_the_same_random_numbers(
    kinds: Pipeline, wanted: list[float]
) -> None:
    ada = pipeline(0.7, kinds, (3, 24, 28))
    torch.manual_seed(3)
    assert seen(ada(waves())) == pytest.approx(wanted, abs=3e-5)


def test_the_authors_numbers_in_grey() -> None:
    ada = pipeline(0.7, "bgcfnc", (1, 24, 28))
    torch.manual_seed(3)
    assert seen(ada(waves()[:, :1])) == pytest.approx(AUTHORS_GREY, abs=3e-5)


@pytest.mark.parametrize(
    ("inverse", "wanted"),
    [
        (scaling(2 ** (-0.2 * NORMAL), 2 ** (-0.2 * NORMAL)), [0.01138, 0.82711, -0.3534, 0.54505]),
        (rotation(0.6 * math.pi * torch.ones(3)), [-0.79418, 0.35361, 0.64795, 0.53758]),
        (
            scaling(2 ** (-0.2 * NORMAL), 2 ** (0.2 * NORMAL)),
            [-0.56219, -0.47182, 0.75729, 0.52973],
        ),
        (translation(28 * NORMAL / 8, 24 * NORMAL / 8), [0.70964, -0.54436, -0.48455, 0.5144]),
    ],
    ids=["scale", "rotate", "aniso", "xfrac"],
)
def test_single_moves_are_the_authors(inverse: Tensor, wanted: list[float]) -> None:
    moved = pipeline(1.0, "geom", (3, 24, 28))._moved(waves(), inverse)
    assert seen(moved) == pytest.approx(wanted, abs=3e-5)


def test_amplified_bands_are_the_authors_and_keep_the_power() -> None:
    ada = pipeline(1.0, "filter", (3, 24, 28))
    gain, power = 2 ** float(NORMAL[0]), [10 / 13, 1 / 13, 1 / 13, 1 / 13]
    scale = [1 / math.sqrt(1 + share * (gain**2 - 1)) for share in power]
    gains = torch.tensor([gain * math.prod(scale)]).expand(3, 4)  # each band is amplified once
    wanted = [-0.72104, 0.61925, 0.46496, 0.5515]
    assert seen(ada._filtered(waves(), gains)) == pytest.approx(wanted, abs=3e-5)
    same = ada._filtered(waves(), torch.ones(3, 4))
    torch.testing.assert_close(same, waves(), atol=1e-5, rtol=0)
    ada = pipeline(0.5, "filter")
    drawn = ada._gains(images(2000))
    whole = (drawn.square() * torch.tensor(power)).sum(1)
    assert float(whole.median()) == pytest.approx(1, abs=0.05)


def test_noise_and_cutout_by_their_distributions() -> None:
    x = torch.ones(4000, 1, 8, 8)
    noise = pipeline(0.5, "noise", (1, 8, 8))(x) - x
    untouched = (noise == 0).all(3).all(2).float().mean()
    assert untouched == pytest.approx(0.5, abs=0.024)  # three standard errors
    # A normal's square times a normal's square, .01 in the mean, for a half of the images.
    assert float(noise.square().mean()) == pytest.approx(0.005, abs=0.0005)
    cut = pipeline(1.0, "cutout", (1, 8, 8))(x)
    hidden = (cut == 0).float().mean((0, 1))
    # A place is hidden if the centre is within a fourth of a side: all of it, or what lies inside.
    line = [min(1, (k + 0.5) / 8 + 0.25) - max(0, (k + 0.5) / 8 - 0.25) for k in range(8)]
    wanted = torch.outer(torch.tensor(line), torch.tensor(line))
    torch.testing.assert_close(hidden, wanted, atol=0.025, rtol=0)  # three standard errors


def test_p_that_is_given_rises_as_half_a_cosine() -> None:
    """`cosine_decay_with_warmup` of brownvc/R3GAN's training_loop.py, from 0 to .55."""
    ada = AdaptiveAugmentation((1, 8, 8), {"blit": 1.0}, final=0.55, steps=4)
    values = []
    for step in range(6):
        ada.set_step(step)
        values.append(float(ada.p))
    assert values == pytest.approx([0, 0.0805456, 0.275, 0.4694544, 0.55, 0.55], abs=1e-6)
    constant = AdaptiveAugmentation((1, 8, 8), {"blit": 1.0}, final=0.2)
    constant.record(torch.ones(3), 3)
    constant.adapt()
    assert (float(constant.p), constant.scheduled) == (pytest.approx(0.2), False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((None, 500, "xyz", 0.5), "model.ada_pipeline = xyz: must be one of blit, geometry, color"),
        ((None, 500, ["blot"], 0.5), r"model.ada_pipeline = \[blot\]: must be some of blit, geom"),
        ((None, 500, [], 0.5), r"model.ada_pipeline = \[\]: must be some of"),
        ((None, 500, {"blit": 2.0}, 0.5), r"\[blit\]: the factors of p must lie in \(0, 1\]"),
        ((None, 500, "bgc", 1.5), r"model.ada_p = 1.5: must lie in \[0, 1\]"),
        ((None, 500, "bgc", 0.5, 0), "model.ada_p_steps = 0: must be at least 1, or null"),
        ((0.6, 500, "bgc", 0.5), "model.ada_p = 0.5: excludes model.ada_target"),
        ((2.0, 0, "bgc"), "(?s)ada_target = 2: must lie between.*ada_images = 0: must be greater"),
    ],
)
def test_faults_are_said(settings: tuple, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pipeline_of(DataSpec("digits", (1, 8, 8), 10), *settings)


def test_colours_and_images_are_needed() -> None:
    with pytest.raises(ConfigError, match="ada_pipeline = bgc: color needs 1 or 3 channels"):
        pipeline_of(DataSpec("two", (2, 8, 8), 10), 0.6, 500, "bgc")
    with pytest.raises(ConfigError, match="ada_p: works on images, and ring holds points"):
        pipeline_of(DataSpec("ring", (2,), 10), None, 500, "bgc", 0.5)


@pytest.mark.parametrize("channels", [1, 3])
def test_it_changes_nothing_while_p_is_0_and_keeps_the_shape(channels: int) -> None:
    x = images(4, (channels, 8, 6))
    shape = (channels, 8, 6)
    torch.testing.assert_close(pipeline(0.0, "bgcfnc", shape)(x), x, atol=1e-5, rtol=0)
    changed = pipeline(1.0, "bgcfnc", shape)(x)
    assert changed.shape == x.shape
    assert (changed - x).abs().amax((1, 2, 3)).min() > 0.1


def test_p_follows_the_sign_of_d_on_real_images() -> None:
    """After four updates of 50 images p moves by 200 / 1,000 towards the target of .6."""
    torch.manual_seed(0)
    ada, sure, unsure = pipeline(0.0, "bgc"), torch.ones(50), torch.tensor([1.0, -1.0] * 25)
    values = []
    for outputs in [sure] * 9 + [unsure] * 8:
        ada.record(outputs, 50)
        ada.adapt()
        values.append(round(float(ada.p), 6))
    # The last of the nine is among the next four, whose mean sign is 1 / 4.
    assert values == [0, 0, 0] + [0.2] * 4 + [0.4] * 4 + [0.2] * 4 + [0] + [0]
    assert int(ada.updates) == 1


def test_moves_of_the_plane_by_hand() -> None:
    """Mirroring and shifts by whole pixels only move pixels; a quarter turn nearly does."""
    x, one, ada = images(), torch.ones(2), pipeline(1.0, "blit")
    shifted = ada._moved(x, translation(2 * one, 0 * one))
    torch.testing.assert_close(shifted[..., 2:], x[..., :-2], atol=1e-5, rtol=0)
    beyond = x[..., 1:3].flip(3)  # mirrored at the middle of the first pixel
    torch.testing.assert_close(shifted[..., :2], beyond, atol=1e-5, rtol=0)
    # The wavelet isn't quite symmetric, so that its mirror image isn't quite itself.
    smooth = torch.linspace(-1, 1, 8).expand(2, 3, 8, 8)
    for inverse, wanted in (
        (scaling(-one, one), smooth.flip(3)),
        (rotation(one * math.pi / 2), smooth.rot90(1, (2, 3))),
    ):
        torch.testing.assert_close(ada._moved(smooth, inverse), wanted, atol=0.05, rtol=0)
    wide = pipeline(1.0, "geom", (1, 4, 8))._moved(torch.ones(2, 1, 4, 8), rotation(one))
    assert wide.shape == (2, 1, 4, 8)


def test_colours_by_hand() -> None:
    x = images()
    turned = colored(x, hue_rotation(torch.full((2,), 2 * math.pi / 3)))
    torch.testing.assert_close(turned, x.roll(1, 1), atol=1e-5, rtol=0)  # red becomes green
    grey = pipeline(1.0, "color")._colors(images(500, (1, 2, 2)))
    line = colored(torch.zeros(500, 1, 2, 2), grey)[:, 0, 0, 0]
    assert line.mean().item() == pytest.approx(0, abs=0.06)  # brightness, standard error .012


@pytest.mark.parametrize("kind", KINDS)
def test_each_transformation_comes_with_probability_p(kind: str) -> None:
    """A part of the images stays as it is: all transformations of the kind missed them."""
    x = images(400)
    same = (pipeline(0.3, [kind])(x) - x).abs().amax((1, 2, 3)) < 1e-4
    # Transformations that change nothing count, too: one of two mirrors, one of four turns ...
    times = {"blit": 3, "geometry": 4, "color": 5, "filter": 4}
    least = 0.7 ** times.get(kind, 1)
    assert same.float().mean() > least - 0.06
    assert same.float().mean() < least + 0.25


def test_reading_off_images_is_grid_sample_with_gradients_of_gradients() -> None:
    x = images(1, (2, 4, 5)).double().requires_grad_()
    grid = 2.4 * images(1, (3, 4, 2)).double()  # some places lie outside
    read = Reading.apply(x, grid)
    assert torch.equal(read, grid_sample(x, grid, align_corners=False))
    assert torch.autograd.gradcheck(lambda x: Reading.apply(x, grid), x)
    assert torch.autograd.gradgradcheck(lambda x: Reading.apply(x, grid), x)
    assert torch.autograd.gradgradcheck(lambda x: Reading.apply(x, grid).square(), x)


def test_gradients_reach_the_images() -> None:
    x = images().requires_grad_()
    pipeline(1.0, "bgcfnc")(x).square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad.abs().amax((1, 2, 3)).min() > 0


def test_pipelines_have_the_authors_names() -> None:
    assert {name: "".join(kind[0] for kind in kinds) for name, kinds in PIPELINES.items()} == {
        **{kind: kind[0] for kind in KINDS},
        "geom": "g",
        **{name: name for name in ("bg", "bgc", "bgcf", "bgcfn", "bgcfnc")},
    }


def test_a_given_p_is_that_of_the_settings_not_of_a_checkpoint() -> None:
    earlier = AdaptiveAugmentation((1, 8, 8), {"cutout": 1.0}, final=0.2)
    now = AdaptiveAugmentation((1, 8, 8), {"cutout": 1.0}, final=0.7)
    now.load_state_dict(earlier.state_dict())
    now(torch.zeros(2, 1, 8, 8))
    assert now.p.item() == pytest.approx(0.7)
