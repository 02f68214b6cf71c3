"""An editor of latents: sliders, interpolation, and a brush that the latent follows.

Zhu et al. 2016 (iGAN): strokes of colour and of shape are constraints on G(z), and a few steps of
optimisation move z to meet them, close to where it was. The editor keeps no state: each request
carries its point, so that undo and several pages need nothing here.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError
from torch import Tensor
from torch.nn.functional import avg_pool2d, one_hot, pad

from gan_cli.errors import ConfigError
from gan_cli.images import to_uint8
from gan_cli.model import Model
from gan_cli.priors import lerp
from gan_cli.sampling import directions, latents
from gan_cli.sampling.codes import places
from gan_cli.sampling.directions import REACH, Direction
from gan_cli.sampling.inversion import inside
from gan_cli.sampling.refinement import movable
from gan_cli.sampling.samples import decode

STEPS = 24  # of Adam, for each answer to the brush
RATE = 0.05
DECAY = 0.9, 0.999  # of its running means
CLOSE = 0.2  # weight of the squared distance from the latent to stay near, a dimension
SHAPE = 0.5  # weight of the shape's distance beside that of colours
BINS, SHARPNESS = 8, 4  # orientations of edges, and the power of the cosine to each
CELLS = 8  # along the shorter side of an image, in which orientations are counted
FAINT = 0.2  # strength of edges in a cell that counts as half
MOST_SEED = (1 << 53) - 1  # the largest whole number of a page's scripts


FARTHEST = 1e6  # of a latent's numbers, which must be finite in float32
Number = Annotated[FiniteFloat, Field(ge=-FARTHEST, le=FARTHEST)]


class Point(BaseModel):
    """A latent, and the weights of its classes where the model has any."""

    model_config = ConfigDict(extra="forbid")
    z: list[Number]
    y: list[Annotated[FiniteFloat, Field(ge=0, le=1)]] | None = None


class Between(BaseModel):
    """A place on the way from one point to another."""

    model_config = ConfigDict(extra="forbid")
    a: Point
    b: Point
    t: Annotated[float, Field(ge=0, le=1)]


class Strokes(BaseModel):
    """A point, a latent to stay near, and what was painted.

    The paintings are PNG files in base64, which count where they are opaque.
    """

    model_config = ConfigDict(extra="forbid")
    point: Point
    near: list[Number]
    colour: str
    shape: str


class Seed(BaseModel):
    """The first sample of a seed, of these classes."""

    model_config = ConfigDict(extra="forbid")
    seed: Annotated[int, Field(ge=0, le=MOST_SEED)]
    y: list[Annotated[FiniteFloat, Field(ge=0, le=1)]] | None = None


@dataclass(frozen=True)
class Goal:
    """What an image is to look like.

    Attributes:
        colour: the wanted image, [1, C, H, W] in [-1, 1].
        painted: 1 where it counts, [1, 1, H, W].
        shape: a drawing whose edges are wanted, [1, 1, H, W].
        drawn: 1 where it was drawn, [1, 1, H, W].
    """

    colour: Tensor
    painted: Tensor
    shape: Tensor
    drawn: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        """The distance of `images` [1, C, H, W], a scalar: of colours, and of edges' directions."""
        loss = images.new_zeros(())
        if bool(self.painted.any()):
            gap = (images - self.colour).square().mean(1, keepdim=True)
            loss = loss + (gap * self.painted).sum() / self.painted.sum()
        if bool(self.drawn.any()):
            size = cell(images)
            touched = (avg_pool2d(self.drawn, size, ceil_mode=True) > 0).float()
            gap = (edges(images.mean(1, keepdim=True)) - edges(self.shape)).square()
            loss = loss + SHAPE * (gap.sum(1, keepdim=True) * touched).sum() / touched.sum()
        return loss


def cell(images: Tensor) -> int:
    """The side in pixels of the cells in which `edges` counts."""
    return max(2, min(images.shape[2:]) // CELLS)


def edges(grey: Tensor) -> Tensor:
    """Histograms of edges' orientations, of length below 1, [n, bins, cells, cells].

    The differentiable HOG of Zhu et al. 2016 (Dalal and Triggs 2005), of either sign: dark on
    bright is as bright on dark.

    Args:
        grey: [n, 1, H, W].
    """
    wide = pad(grey, (1, 1, 1, 1), mode="replicate")
    x = (wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2]) / 2
    y = (wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1]) / 2
    length = (x.square() + y.square() + 1e-8).sqrt()
    angles = torch.arange(BINS, device=grey.device).view(1, -1, 1, 1) * (math.pi / BINS)
    along = (x * angles.cos() + y * angles.sin()) / length
    counts = avg_pool2d(length * along**SHARPNESS, cell(grey), ceil_mode=True)
    return counts / (counts.norm(dim=1, keepdim=True) + FAINT)


def follow(
    model: Model, z: Tensor, y: Tensor | None, goal: Goal, near: Tensor, steps: int = STEPS
) -> tuple[Tensor, float]:
    """Move a latent toward a goal (Zhu et al. 2016, Eq. 3); categories stay what they are.

    Args:
        model: in eval mode.
        z: [1, dim] on the CPU.
        y: its class [1], or mixture of classes [1, classes].
        goal: on the model's device.
        near: the latent [1, dim] to stay close to.
        steps: of Adam.

    Returns:
        The best latent on the way, and the goal's distance there.
    """
    start, near = z.to(model.device), near.to(model.device)
    label = None if y is None else y.to(model.device)
    moves = movable(model.prior).to(start)
    moved = start.clone().requires_grad_()
    # Adam by hand (Kingma and Ba 2015): to make torch's imports its compiler, which takes seconds.
    mean, square = torch.zeros_like(start), torch.zeros_like(start)
    best, found, distance = math.inf, start, math.inf
    for step in range(1, steps + 2):
        with torch.enable_grad():
            far = goal(model.generate(moved, label).float())
            loss = far + CLOSE * (moved - near).square().mean()
            (slope,) = torch.autograd.grad(loss, moved)
        if loss.item() < best:
            best, distance, found = loss.item(), far.item(), moved.detach().clone()
        if step <= steps:
            mean.lerp_(slope, 1 - DECAY[0])
            square.lerp_(slope.square(), 1 - DECAY[1])
            size = (square / (1 - DECAY[1] ** step)).sqrt() + 1e-8
            step_made = RATE * moves * mean / (1 - DECAY[0] ** step) / size
            moved = inside(model.prior, moved.detach() - step_made).requires_grad_()
    return found.cpu(), distance


class Editor:
    """Answers the requests of a page about one model.

    Args:
        model: in eval mode, that decodes latents into images.
        vectors: directions for sliders.

    Raises:
        ConfigError: its images are neither grey nor of three colours.
    """

    def __init__(self, model: Model, vectors: list[Direction]) -> None:
        self.model, self.vectors = model, vectors
        self.prior = latents.prior_of(model, "gan-edit")
        if model.data.shape[0] not in (1, 3):
            raise ConfigError(f"gan-edit: images of {model.data.shape[0]} channels are not painted")
        self.actions: dict[str, tuple[type[BaseModel], Callable[[Any], dict[str, Any]]]] = {
            "draw": (Point, self.draw),
            "sample": (Seed, self.sample),
            "between": (Between, self.between),
            "follow": (Strokes, self.follow),
        }

    def answer(self, action: str, body: bytes) -> dict[str, Any]:
        """Do what a page asks for: a point, its image and its files, for JSON.

        Raises:
            ConfigError: the request does not fit the model.
        """
        form, do = self.actions[action]
        try:
            request = form.model_validate_json(body, strict=True)
        except ValidationError as cause:
            first = cause.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ConfigError(f"{action}: {where}: {first['msg']}") from cause
        return do(request)

    def setup(self) -> dict[str, Any]:
        """What a page needs to know of the model, for JSON."""
        channels, height, width = self.model.data.shape
        known = places(self.prior)
        codes = directions.codes(self.prior, 2, None) if known else []
        names = self.model.data.class_names
        classes = self.model.data.classes if self.model.conditional else 0
        return {
            "width": width,
            "height": height,
            "grey": channels == 1,
            "classes": [names[k] if k < len(names) else str(k) for k in range(classes)],
            "categories": [
                {"name": one.name, "start": one.place.start, "count": one.place.categories}
                for one in codes
                if one.place.categories
            ],
            "codes": [
                {
                    "name": one.name,
                    "start": one.place.start,
                    "low": one.values[0].item(),
                    "high": one.values[-1].item(),
                }
                for one in codes
                if not one.place.categories
            ],
            "directions": [
                {"name": one.name, "note": one.note, "vector": one.vector.tolist()}
                for one in self.vectors
            ],
            "reach": REACH,
            "first": self.sample(Seed(seed=0)),
        }

    def draw(self, point: Point) -> dict[str, Any]:
        """The image of a point."""
        return self._answer(*self._tensors(point))

    def sample(self, request: Seed) -> dict[str, Any]:
        """The first latent of a seed, as `gan-sample --seed` draws it."""
        z = latents.of_seed(self.prior, request.seed, torch.zeros(1, dtype=torch.int64))
        y = request.y
        if y is None and self.model.conditional:
            y = one_hot(torch.tensor(0), self.model.data.classes).float().tolist()
        return self.draw(Point(z=z[0].tolist(), y=y))

    def between(self, request: Between) -> dict[str, Any]:
        """The point at `t` by the prior's own path; classes are mixed."""
        a, b = self._tensors(request.a), self._tensors(request.b)
        z = self.prior.interpolate(a[0], b[0], request.t)
        y = None if a[1] is None or b[1] is None else lerp(a[1], b[1], request.t)
        return self._answer(z, y)

    def follow(self, request: Strokes) -> dict[str, Any]:
        """The point that has followed the brush, with its distance."""
        z, y = self._tensors(request.point)
        near, _ = self._tensors(Point(z=request.near, y=request.point.y))
        colour, painted = self._painting(request.colour)
        shape, drawn = self._painting(request.shape)
        if self.model.data.shape[0] == 1:
            colour = colour.mean(1, keepdim=True)
        goal = Goal(colour, painted, shape.mean(1, keepdim=True), drawn)
        z, distance = follow(self.model, z, self._labels(y), goal, near)
        return {**self._answer(z, y), "distance": distance}

    def _answer(self, z: Tensor, y: Tensor | None) -> dict[str, Any]:
        with torch.no_grad():
            image = to_uint8(decode(self.model, z, self._labels(y)))[0]
        png, npy = io.BytesIO(), io.BytesIO()
        Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).save(png, format="PNG")
        np.save(npy, z.numpy())
        return {
            "z": z[0].tolist(),
            "y": None if y is None else y[0].tolist(),
            "png": base64.b64encode(png.getvalue()).decode(),
            "npy": base64.b64encode(npy.getvalue()).decode(),
        }

    def _tensors(self, point: Point) -> tuple[Tensor, Tensor | None]:
        """The latent [1, dim], and the weights of the classes [1, classes]."""
        classes = self.model.data.classes if self.model.conditional else 0
        if len(point.z) != self.prior.dim:
            raise ConfigError(f"z: {self.prior.dim} numbers are required, not {len(point.z)}")
        if len(point.y or []) != classes or not (point.y is None or any(point.y)):
            raise ConfigError(f"y: the weights of {classes} classes are required")
        return torch.tensor([point.z]), torch.tensor([point.y]) if point.y else None

    def _labels(self, y: Tensor | None) -> Tensor | None:
        """What `generate` takes: a class where it is one alone, else the mixture."""
        if y is None:
            return None
        return y.argmax(1) if int((y > 0).sum()) == 1 else y / y.sum()

    def _painting(self, text: str) -> tuple[Tensor, Tensor]:
        """The colours [1, 3, H, W] in [-1, 1] and the mask [1, 1, H, W] of a PNG in base64."""
        _, height, width = self.model.data.shape
        try:
            with Image.open(io.BytesIO(base64.b64decode(text)), formats=["PNG"]) as picture:
                if picture.size != (width, height):
                    raise ValueError
                levels = np.array(picture.convert("RGBA"))
        except Exception as cause:  # damaged bytes can fail in any way
            raise ConfigError(f"strokes: a PNG of {width} x {height} pixels is required") from cause
        values = torch.from_numpy(levels).permute(2, 0, 1)[None].float().to(self.model.device)
        return values[:, :3] / 127.5 - 1, (values[:, 3:] > 127).float()
