"""Adaptive discriminator augmentation (ADA, Karras et al. 2020b).

Each transformation of the pipeline is applied to each image with probability p, which rises while
the discriminator is too sure of real images and falls while it is not (section 3 there), or is
given. The pipeline is that of appendix B: pixel blits, geometric and colour transformations,
amplified bands of frequencies, noise and cutout. With the same random numbers it gives what the
authors' code gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import grid_sample

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.wavelets import BANDS, REACH, bands, doubling, halving

UPDATES = 4  # of the discriminator, after which p moves
KINDS = ("blit", "geometry", "color", "filter", "noise", "cutout")
PIPELINES: dict[str, tuple[str, ...]] = {  # by the authors' names
    **{kind: (kind,) for kind in KINDS},
    "geom": ("geometry",),
    **{"bgcfnc"[:n]: KINDS[:n] for n in range(2, 7)},
}
Pipeline = str | Sequence[str] | Mapping[str, float]
NOISE = 0.1  # deviation of the noise's deviation
HIDDEN = 0.5  # of each side, by cutout


class AdaptiveAugmentation(nn.Module):
    """The pipeline and its probability p, which is part of a run's state.

    Args:
        shape: of the images, [channels, height, width].
        strengths: of the kinds of transformations, some of `KINDS`: factors of p.
        target: of E[sign(D(x))] on real images, .6 in the paper; None where p is given.
        speed: images over which p can rise by 1; 500,000 there.
        final: p that is given.
        steps: of the run over which it rises from 0 to `final` as half a cosine (Huang et al. 2024,
            in their code); None: it is `final` from the beginning.
    """

    of_samples = ("signs",)
    p: Tensor
    signs: Tensor  # sum over the updates since p last moved
    images: Tensor  # of these updates
    updates: Tensor  # their number
    # Constants: of colours, [4, 4]; of places, along the sides of images; of bands.
    grey: Tensor
    whole: Tensor
    places: Tensor
    read: Tensor
    up_y: Tensor
    up_x: Tensor
    down_y: Tensor
    down_x: Tensor
    bands_y: Tensor
    bands_x: Tensor
    power: Tensor

    def __init__(
        self,
        shape: Sequence[int],
        strengths: Mapping[str, float],
        target: float | None = None,
        speed: float = 500_000,
        final: float = 0.0,
        steps: int | None = None,
    ) -> None:
        super().__init__()
        self.strengths, self.target, self.speed = dict(strengths), target, speed
        self.final, self.steps = final, steps
        self.register_buffer("p", torch.tensor(0.0 if steps or target is not None else final))
        self.register_buffer("signs", torch.zeros(()))
        self.register_buffer("images", torch.zeros(()))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        kinds, (_, height, width) = self.strengths.keys(), shape
        axis = torch.tensor([1.0, 1.0, 1.0, 0.0]) / math.sqrt(3)
        constants = {"grey": torch.outer(axis, axis), "whole": torch.eye(4)}
        if kinds & {"blit", "geometry"}:
            sides = torch.tensor([width, height, 1.0])
            constants |= {"up_y": doubling(height), "up_x": doubling(width)}
            constants |= {"down_y": halving(height), "down_x": halving(width)}
            # Half pixels in pixels from the centre, [.., 3]; and from such places to those of the
            # fine image, whose sides reach from -1 to 1.
            across, down = (
                (torch.arange(2 * (side + 2 * REACH)) + 1) / 2 - (side / 2 + REACH)
                for side in (width, height)
            )
            y, x = torch.meshgrid(down, across, indexing="ij")
            constants["places"] = torch.stack([x, y, torch.ones_like(x)], dim=2)
            read = torch.diag(2 / (3 * sides - 2))
            read[:2, 2] = -0.5 / (3 * sides[:2] - 2)
            constants["read"] = read[:2]
        if "filter" in kinds:
            constants |= {"bands_y": bands(height), "bands_x": bands(width)}
            constants["power"] = torch.tensor([10.0, 1.0, 1.0, 1.0]) / 13  # of an image's bands
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    @torch.no_grad()
    def record(self, real: Tensor, images: int) -> None:
        """Take in the discriminator's outputs [n] on real images, of so many in the update."""
        if self.target is None:
            return
        self.images.add_(images)
        self.signs.add_(real.float().sign().mean())
        self.updates.add_(1)

    @torch.no_grad()
    def adapt(self) -> None:
        """Move p after every `UPDATES` updates, without a look at the values on the host."""
        if self.target is None:
            return
        full = self.updates >= UPDATES
        direction = torch.sign(self.signs / UPDATES - self.target)
        changed = (self.p + direction * self.images / self.speed).clamp_min(0)
        self.p.copy_(torch.where(full, changed, self.p))
        self.signs.mul_(~full)
        self.images.mul_(~full)
        self.updates.mul_(~full)

    @property
    def scheduled(self) -> bool:
        """Whether p is a function of the run's step."""
        return self.target is None and self.steps is not None

    def set_step(self, step: int) -> None:
        """Set p to that of `step`, counted from 0; only where it is `scheduled`."""
        assert self.steps is not None, "checked by `scheduled`"
        self.p.fill_(self.final * (1 - math.cos(math.pi * min(step / self.steps, 1.0))) / 2)

    def forward(self, x: Tensor) -> Tensor:
        """Images [n, channels, height, width] after transformations, each with probability p."""
        with torch.autocast(x.device.type, enabled=False):
            return self._transformed(x.float()).to(x.dtype)

    def _transformed(self, x: Tensor) -> Tensor:
        if self.target is None and self.steps is None:
            self.p.fill_(self.final)  # not that of a checkpoint with other settings
        kinds = self.strengths
        inverse = self.whole[:3, :3]
        if "blit" in kinds:
            inverse = inverse @ self._blits(x)
        if "geometry" in kinds:
            inverse = inverse @ self._geometry(x)
        if inverse.dim() == 3:
            x = self._moved(x, inverse)
        if "color" in kinds:
            x = colored(x, self._colors(x))
        if "filter" in kinds:
            x = self._filtered(x, self._gains(x))
        if "noise" in kinds:
            sigma = self._drawn(x, "noise", lambda v: NOISE * v.abs(), 0.0, normal=True)
            x = x + torch.randn_like(x) * sigma.view(-1, 1, 1, 1)
        return self._cut(x) if "cutout" in kinds else x

    def _moved(self, x: Tensor, inverse: Tensor) -> Tensor:
        """Images whose pixel at place q, from the centre, is that of `x` at `inverse` q, [n, 3, 3].

        Read linearly off images of twice the size, which a wavelet makes and takes back, so that
        frequencies that the pixels cannot hold are left out.
        """
        fine = self.up_y @ x @ self.up_x.T  # [n, channels, 6 height - 4, 6 width - 4]
        grid = self.places @ (self.read @ inverse)[:, None].mT  # [n, .., .., 2]
        return self.down_y @ Reading.apply(fine, grid) @ self.down_x.T  # pyright: ignore

    def _filtered(self, x: Tensor, gains: Tensor) -> Tensor:
        """Images with each band of frequencies times its gain, [n, 4], along both axes."""
        down, across = (
            (gains @ part.flatten(1)).view(-1, 1, *part.shape[1:])
            for part in (self.bands_y, self.bands_x)
        )
        return down @ x @ across.mT

    def _blits(self, x: Tensor) -> Tensor:
        """Mirroring, quarter turns and translations by whole pixels, [n, 3, 3]."""
        height, width = x.shape[2:]
        mirror = self._drawn(x, "blit", lambda u: 1 - 2 * (2 * u).floor(), 1.0)
        turn = self._drawn(x, "blit", lambda u: (4 * u).floor(), 0.0) * (math.pi / 2)
        right, down = self._drawn(x, "blit", lambda u: (2 * u - 1) / 8, 0.0, columns=2).unbind(1)
        shift = translation((right * width).round(), (down * height).round())
        return scaling(mirror, torch.ones_like(mirror)) @ rotation(turn) @ shift

    def _geometry(self, x: Tensor) -> Tensor:
        """Scaling, rotations, stretching and translations by parts of pixels, [n, 3, 3]."""
        height, width = x.shape[2:]
        # A rotation before or after the stretching: p in all.
        once = 1 - (1 - self.strengths["geometry"] * self.p).clamp(0, 1).sqrt()

        def factor(v: Tensor) -> Tensor:
            return torch.exp2(0.2 * v)

        def angle(u: Tensor) -> Tensor:
            return (2 * u - 1) * math.pi

        size = self._drawn(x, "geometry", factor, 1.0, normal=True)
        before = self._drawn(x, "geometry", angle, 0.0, p=once)
        stretch = self._drawn(x, "geometry", factor, 1.0, normal=True)
        after = self._drawn(x, "geometry", angle, 0.0, p=once)
        shifts = self._drawn(x, "geometry", lambda v: v / 8, 0.0, normal=True, columns=2)
        right, down = shifts.unbind(1)
        turned = scaling(1 / size, 1 / size) @ rotation(before) @ scaling(1 / stretch, stretch)
        return turned @ rotation(after) @ translation(right * width, down * height)

    def _colors(self, x: Tensor) -> Tensor:
        """Brightness, contrast, luma flip, hue and saturation, [n, 4, 4]."""
        bright = self._drawn(x, "color", lambda v: 0.2 * v, 0.0, normal=True)
        contrast = self._drawn(x, "color", lambda v: torch.exp2(0.5 * v), 1.0, normal=True)
        flip = self._drawn(x, "color", lambda u: (2 * u).floor(), 0.0)
        one, zero = torch.ones_like(bright), torch.zeros_like(bright)
        lifted = matrices(
            [
                [contrast, zero, zero, contrast * bright],
                [zero, contrast, zero, contrast * bright],
                [zero, zero, contrast, contrast * bright],
                [zero, zero, zero, one],
            ]
        )
        found = (self.whole - 2 * self.grey * flip.view(-1, 1, 1)) @ lifted
        if x.shape[1] == 1:
            return found
        hue = self._drawn(x, "color", lambda u: (2 * u - 1) * math.pi, 0.0)
        saturation = self._drawn(x, "color", torch.exp2, 1.0, normal=True)
        colourful = (self.whole - self.grey) * saturation.view(-1, 1, 1)
        return (self.grey + colourful) @ hue_rotation(hue) @ found

    def _gains(self, x: Tensor) -> Tensor:
        """Gains of the bands [n, 4]; each one's keeps the power of an image with 1/f spectrum."""
        gains, band = (
            torch.ones(len(x), BANDS, device=x.device),
            torch.arange(BANDS, device=x.device),
        )
        for place in range(BANDS):
            drawn = self._drawn(x, "filter", torch.exp2, 1.0, normal=True)
            own = torch.where(band == place, drawn[:, None], 1.0)
            gains = gains * own / (self.power * own.square()).sum(1, keepdim=True).sqrt()
        return gains

    def _cut(self, x: Tensor) -> Tensor:
        """Images with a rectangle of half of each side, centred anywhere, set to 0."""
        chosen = torch.rand(len(x), device=x.device) < self.strengths["cutout"] * self.p
        centres = torch.rand(len(x), 2, device=x.device).unbind(1)
        hidden = []
        for size, centre in zip((x.shape[3], x.shape[2]), centres, strict=True):
            place = (torch.arange(size, device=x.device) + 0.5) / size
            hidden.append(chosen[:, None] & ((place - centre[:, None]).abs() < HIDDEN / 2))
        across, down = hidden
        return x * ~(down[:, None, :, None] & across[:, None, None, :])

    def _drawn(
        self,
        x: Tensor,
        kind: str,
        value: Callable[[Tensor], Tensor],
        neutral: float,
        normal: bool = False,
        columns: int = 0,
        p: Tensor | None = None,
    ) -> Tensor:
        """A value for each image with its kind's probability, or `p`, else `neutral`.

        [n], or [n, columns].
        """
        shape = (len(x), columns) if columns else (len(x),)
        draw = torch.randn if normal else torch.rand
        drawn = value(draw(shape, device=x.device))
        limit = self.strengths[kind] * self.p if p is None else p
        chosen = torch.rand(len(x), device=x.device) < limit
        chosen = chosen.view(-1, *[1] * (drawn.dim() - 1))
        return torch.where(chosen, drawn, torch.full_like(drawn, neutral))


def pipeline(
    data: DataSpec,
    target: float | None,
    images: int,
    kinds: Pipeline,
    p: float | None = None,
    steps: int | None = None,
) -> AdaptiveAugmentation | None:
    """The pipeline of the settings `ada_target`, `ada_images`, `ada_pipeline` and so on, if any.

    Raises:
        ConfigError: lists every fault of the settings.
    """
    if target is None and p is None:
        if steps is not None:
            raise ConfigError(f"model.ada_p_steps = {steps}: is for model.ada_p; set that too")
        return None
    if faults := list(_faults(data, target, images, kinds, p, steps)):
        raise ConfigError("\n".join(faults))
    return AdaptiveAugmentation(data.shape, strengths(kinds), target, images, p or 0.0, steps)


def strengths(kinds: Pipeline) -> dict[str, float]:
    """Factors of p of some of `KINDS`, from a name of `PIPELINES`, a list or a mapping.

    Raises:
        KeyError: no pipeline has the name.
    """
    if isinstance(kinds, Mapping):
        return dict(kinds)
    return dict.fromkeys(PIPELINES[kinds] if isinstance(kinds, str) else kinds, 1.0)


def _faults(
    data: DataSpec,
    target: float | None,
    images: int,
    kinds: Pipeline,
    p: float | None,
    steps: int | None,
) -> Iterator[str]:
    if target is not None and p is not None:
        yield f"model.ada_p = {p:g}: excludes model.ada_target, by which p follows D; set one null"
    if target is not None and not -1 < target < 1:
        yield f"model.ada_target = {target:g}: must lie between -1 and 1; .6 in the paper"
    if images <= 0:
        yield f"model.ada_images = {images}: must be greater than 0"
    if p is not None and not 0 <= p <= 1:
        yield f"model.ada_p = {p:g}: must lie in [0, 1]"
    if steps is not None and p is None:
        yield f"model.ada_p_steps = {steps}: is for model.ada_p; set it null"
    if steps is not None and steps < 1:
        yield f"model.ada_p_steps = {steps}: must be at least 1, or null for a constant p"
    if not data.is_image:
        yield (
            f"model.ada_{'target' if p is None else 'p'}: works on images, and {data.name} holds "
            f"{data.kind}; set it null"
        )
        return
    yield from _kind_faults(data, kinds)


def _kind_faults(data: DataSpec, kinds: Pipeline) -> Iterator[str]:
    if isinstance(kinds, str):
        if kinds not in PIPELINES:
            yield f"model.ada_pipeline = {kinds}: must be one of {', '.join(PIPELINES)}, or a list"
            return
        shown = kinds
    else:
        shown = f"[{','.join(kinds)}]"
    found = strengths(kinds)
    if not found or any(kind not in KINDS for kind in found):
        yield f"model.ada_pipeline = {shown}: must be some of {', '.join(KINDS)}"
    elif not all(0 < factor <= 1 for factor in found.values()):
        yield f"model.ada_pipeline = {shown}: the factors of p must lie in (0, 1]"
    elif "color" in found and data.shape[0] not in (1, 3):
        yield f"model.ada_pipeline = {shown}: color needs 1 or 3 channels; set it bg"


class Reading(Function):
    """Images [n, channels, ...] read linearly at the places [n, height, width, 2] of a grid.

    As `grid_sample`, whose gradient older versions of torch cannot differentiate. Reading is linear
    in the images, so the gradient of that gradient is reading again.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, grid: Tensor) -> Tensor:
        return grid_sample(x, grid, align_corners=False)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        x, grid = inputs
        ctx.save_for_backward(grid)
        ctx.size = x.shape[2:]

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (grid,) = ctx.saved_tensors
        return Spreading.apply(slope, grid, *ctx.size), None  # type: ignore[return-value]


class Spreading(Function):
    """The adjoint of `Reading`: gradients by what was read, as gradients by the images."""

    generate_vmap_rule = True

    @staticmethod
    def forward(slope: Tensor, grid: Tensor, height: int, width: int) -> Tensor:
        images = slope.new_zeros(*slope.shape[:2], height, width)
        backward = torch.ops.aten.grid_sampler_2d_backward
        return backward(slope, images, grid, 0, 0, False, [True, False])[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int, int], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        (grid,) = ctx.saved_tensors
        return Reading.apply(slope, grid), None, None, None  # type: ignore[return-value]


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


def colored(x: Tensor, matrix: Tensor) -> Tensor:
    """Images of one or three channels with each colour multiplied by its image's [n, 4, 4]."""
    if x.shape[1] == 1:
        line = matrix[:, :3].mean(1)  # [n, 4]
        gain, shift = line[:, :3].sum(1), line[:, 3]
        return x * gain.view(-1, 1, 1, 1) + shift.view(-1, 1, 1, 1)
    flat = matrix[:, :3, :3] @ x.flatten(2) + matrix[:, :3, 3:]
    return flat.view_as(x)
