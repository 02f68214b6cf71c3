"""Adaptive discriminator augmentation (ADA, Karras et al. 2020).

Each transformation of the pipeline is applied to each image with probability p, which rises while
the discriminator is too sure of real images and falls while it is not (section 3 there).
Of the paper's pipeline these are pixel blits, geometric and colour transformations (appendix B);
image-space filters, noise and cutout are missing. Pixels between others are interpolated linearly
and reflected at the borders, where the authors upsample with an orthogonal wavelet first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec

UPDATES = 4  # of the discriminator, after which p moves
KINDS = ("blit", "geometry", "color")


class AdaptiveAugmentation(nn.Module):
    """The pipeline and its probability p, which is part of a run's state.

    Args:
        target: of E[sign(D(x))] on real images; .6 in the paper.
        speed: images over which p can rise by 1; 500,000 there.
        kinds: of transformations, some of `KINDS`.
    """

    p: Tensor
    signs: Tensor  # sum over the updates since p last moved
    images: Tensor  # of these updates
    updates: Tensor  # their number

    def __init__(self, target: float, speed: float, kinds: Sequence[str] = KINDS) -> None:
        super().__init__()
        self.target, self.speed, self.kinds = target, speed, tuple(kinds)
        self.register_buffer("p", torch.zeros(()))
        self.register_buffer("signs", torch.zeros(()))
        self.register_buffer("images", torch.zeros(()))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def record(self, real: Tensor, images: int) -> None:
        """Take in the discriminator's outputs [n] on real images, of so many in the update."""
        self.images.add_(images)
        self.signs.add_(real.float().sign().mean())
        self.updates.add_(1)

    @torch.no_grad()
    def adapt(self) -> None:
        """Move p after every `UPDATES` updates, without a look at the values on the host."""
        full = self.updates >= UPDATES
        direction = torch.sign(self.signs / UPDATES - self.target)
        changed = (self.p + direction * self.images / self.speed).clamp_min(0)
        self.p.copy_(torch.where(full, changed, self.p))
        self.signs.mul_(~full)
        self.images.mul_(~full)
        self.updates.mul_(~full)

    def forward(self, x: Tensor) -> Tensor:
        """Images [n, channels, height, width] after transformations, each with probability p."""
        inverse = torch.eye(3, device=x.device)
        if "blit" in self.kinds:
            inverse = inverse @ self._blits(x)
        if "geometry" in self.kinds:
            inverse = inverse @ self._geometry(x)
        if inverse.dim() == 3:
            x = moved(x, inverse)
        return colored(x, self._colors(x)) if "color" in self.kinds else x

    def _blits(self, x: Tensor) -> Tensor:
        """Mirroring, quarter turns and translations by whole pixels, [n, 3, 3]."""
        height, width = x.shape[2:]
        mirror = self._drawn(x, lambda u: 1 - 2 * (2 * u).floor(), 1.0)
        turn = self._drawn(x, lambda u: (4 * u).floor(), 0.0) * (math.pi / 2)
        right, down = self._drawn(x, lambda u: (2 * u - 1) / 8, 0.0, columns=2).unbind(1)
        shift = translation((right * width).round(), (down * height).round())
        return scaling(mirror, torch.ones_like(mirror)) @ rotation(turn) @ shift

    def _geometry(self, x: Tensor) -> Tensor:
        """Scaling, rotations, stretching and translations by parts of pixels, [n, 3, 3]."""
        height, width = x.shape[2:]
        once = 1 - (1 - self.p).clamp(0, 1).sqrt()  # before or after the stretching: p in all
        size = self._drawn(x, lambda v: torch.exp2(0.2 * v), 1.0, normal=True)
        before = self._drawn(x, lambda u: (2 * u - 1) * math.pi, 0.0, p=once)
        stretch = self._drawn(x, lambda v: torch.exp2(0.2 * v), 1.0, normal=True)
        after = self._drawn(x, lambda u: (2 * u - 1) * math.pi, 0.0, p=once)
        shifts = self._drawn(x, lambda v: v / 8, 0.0, normal=True, columns=2)
        right, down = shifts.unbind(1)
        turned = scaling(1 / size, 1 / size) @ rotation(before) @ scaling(1 / stretch, stretch)
        return turned @ rotation(after) @ translation(right * width, down * height)

    def _colors(self, x: Tensor) -> Tensor:
        """Brightness, contrast, luma flip, hue and saturation, [n, 4, 4]."""
        bright = self._drawn(x, lambda v: 0.2 * v, 0.0, normal=True)
        contrast = self._drawn(x, lambda v: torch.exp2(0.5 * v), 1.0, normal=True)
        flip = self._drawn(x, lambda u: (2 * u).floor(), 0.0)
        hue = self._drawn(x, lambda u: (2 * u - 1) * math.pi, 0.0)
        saturation = self._drawn(x, torch.exp2, 1.0, normal=True)
        one, zero = torch.ones_like(bright), torch.zeros_like(bright)
        whole = torch.eye(4, device=x.device)
        axis = torch.tensor([1.0, 1.0, 1.0, 0.0], device=x.device) / math.sqrt(3)
        grey = torch.outer(axis, axis)  # onto the luma axis
        lifted = matrices(
            [
                [contrast, zero, zero, contrast * bright],
                [zero, contrast, zero, contrast * bright],
                [zero, zero, contrast, contrast * bright],
                [zero, zero, zero, one],
            ]
        )
        found = (whole - 2 * grey * flip.view(-1, 1, 1)) @ lifted
        if x.shape[1] == 1:
            return found
        return (grey + (whole - grey) * saturation.view(-1, 1, 1)) @ hue_rotation(hue) @ found

    def _drawn(
        self,
        x: Tensor,
        value: Callable[[Tensor], Tensor],
        neutral: float,
        normal: bool = False,
        columns: int = 0,
        p: Tensor | None = None,
    ) -> Tensor:
        """A value for each image with probability p, else `neutral`: [n], or [n, columns]."""
        shape = (len(x), columns) if columns else (len(x),)
        draw = torch.randn if normal else torch.rand
        drawn = value(draw(shape, device=x.device))
        chosen = torch.rand(len(x), device=x.device) < (self.p if p is None else p)
        chosen = chosen.view(-1, *[1] * (drawn.dim() - 1))
        return torch.where(chosen, drawn, torch.full_like(drawn, neutral))


def pipeline(
    data: DataSpec, target: float | None, images: int, kinds: Sequence[str]
) -> AdaptiveAugmentation | None:
    """The pipeline of the settings `ada_target`, `ada_images` and `ada_pipeline`, if any.

    Raises:
        ConfigError: lists every fault of the settings.
    """
    if target is None:
        return None
    if faults := list(_faults(data, target, images, kinds)):
        raise ConfigError("\n".join(faults))
    return AdaptiveAugmentation(target, images, kinds)


def _faults(data: DataSpec, target: float, images: int, kinds: Sequence[str]) -> Iterator[str]:
    if not -1 < target < 1:
        yield f"model.ada_target = {target:g}: must lie between -1 and 1; .6 in the paper"
    if images <= 0:
        yield f"model.ada_images = {images}: must be greater than 0"
    shown = f"model.ada_pipeline = [{','.join(kinds)}]"
    if not kinds or any(kind not in KINDS for kind in kinds):
        yield f"{shown}: must be a list of some of {', '.join(KINDS)}"
    elif not data.is_image:
        yield (
            f"model.ada_target = {target:g}: works on images, and {data.name} holds {data.kind}; "
            "set model.ada_target=null"
        )
    elif "color" in kinds and data.shape[0] not in (1, 3):
        yield f"{shown}: color needs 1 or 3 channels; set model.ada_pipeline=[blit,geometry]"


def matrices(rows: Sequence[Sequence[Tensor]]) -> Tensor:
    """Matrices [n, rows, columns] of entries [n]."""
    return torch.stack([torch.stack(list(row), dim=1) for row in rows], dim=1)


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """Of the plane in homogeneous coordinates, by factors [n]."""
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return matrices([[x, zero, zero], [zero, y, zero], [zero, zero, one]])


def rotation(angle: Tensor) -> Tensor:
    """Of the plane, by angles [n]."""
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    sine, cosine = angle.sin(), angle.cos()
    return matrices([[cosine, -sine, zero], [sine, cosine, zero], [zero, zero, one]])


def translation(x: Tensor, y: Tensor) -> Tensor:
    """Of the plane against the axes, by pixels [n], as the inverse of a move along them."""
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return matrices([[one, zero, -x], [zero, one, -y], [zero, zero, one]])


def hue_rotation(angle: Tensor) -> Tensor:
    """Of colours about the luma axis (1, 1, 1), by angles [n]: Rodrigues' formula, [n, 4, 4]."""
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    sine, cosine = angle.sin() / math.sqrt(3), angle.cos()
    same = (1 - cosine) / 3
    return matrices(
        [
            [same + cosine, same - sine, same + sine, zero],
            [same + sine, same + cosine, same - sine, zero],
            [same - sine, same + sine, same + cosine, zero],
            [zero, zero, zero, one],
        ]
    )


def moved(x: Tensor, inverse: Tensor) -> Tensor:
    """Images whose pixel at place q, from the centre, is that of `x` at `inverse` q, [n, 3, 3]."""
    height, width = x.shape[2:]
    sides = torch.tensor([width / 2, height / 2, 1.0], device=x.device)
    theta = inverse * (sides[None, None, :] / sides[None, :, None])  # in units of half a side
    grid = affine_grid(theta[:, :2], list(x.shape), align_corners=False)
    found = grid_sample(x.float(), grid, padding_mode="reflection", align_corners=False)
    return found.to(x.dtype)


def colored(x: Tensor, matrix: Tensor) -> Tensor:
    """Images of one or three channels with each colour multiplied by its image's [n, 4, 4]."""
    if x.shape[1] == 1:
        line = matrix[:, :3].mean(1)  # [n, 4]
        gain, shift = line[:, :3].sum(1), line[:, 3]
        return x * gain.view(-1, 1, 1, 1) + shift.view(-1, 1, 1, 1)
    flat = matrix[:, :3, :3] @ x.float().flatten(2) + matrix[:, :3, 3:]
    return flat.view_as(x).to(x.dtype)
