"""Latents of given images, found by optimisation through the generator.

From several starts at once, by Adam: the distance of pixels and of the discriminator's features
(Zhu et al. 2016, Eq. 2), or for incomplete images the contextual and prior losses of Yeh et al.
2017 (Eqs. 2 to 4).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, softplus

from gan_cli.errors import ConfigError
from gan_cli.model import Encodes, Model, Scores
from gan_cli.optimizers import without_dynamo
from gan_cli.priors import Prior, Product, Uniform
from gan_cli.sampling.codes import Codes, places
from gan_cli.sampling.latents import CHUNK
from gan_cli.sampling.refinement import movable
from gan_cli.sampling.samples import SampleRequest, decode, labels, latents

RATE = 0.05  # of Adam, which falls to 0 like a cosine
FEATURES = 0.1  # weight of the relative distance of features, beside that of pixels
PRIOR = 1e-3  # weight of -log p(z) for each dimension
REALISM = 0.01  # weight of the discriminator's term for incomplete images
MOST_KINDS = 100  # combinations of categories that each have a start
WINDOW = 7  # pixels around a known one that make it count, as in Yeh et al. 2017


@dataclass(frozen=True)
class Target:
    """Images to be found.

    Attributes:
        images: [n, C, H, W] in [-1, 1].
        known: [n, 1, H, W], 1 where a pixel is known and 0 in holes; None for whole images.
        label: the class of all; None where it is unknown.
    """

    images: Tensor
    known: Tensor | None = None
    label: int | None = None


@dataclass(frozen=True)
class Inversion:
    """What was found, on the CPU.

    Attributes:
        z: latents [n, dim].
        y: their classes [n], of a conditional model.
        images: what the model makes of them, [n, C, H, W].
        loss: the objective at them, [n].
    """

    z: Tensor
    y: Tensor | None
    images: Tensor
    loss: Tensor


def invert(
    model: Model,
    target: Target,
    seed: int = 0,
    starts: int = 8,
    steps: int = 300,
    batch: int = 256,
    advance: Callable[[int], object] = lambda _: None,
) -> Inversion:
    """The latents whose images are nearest to the target's.

    Args:
        model: in eval mode.
        target: the images.
        seed: of the starts; image i has the same ones whatever the others are.
        starts: latents to begin with for each image; at least one for each class of a conditional
            model where that is unknown, and for each category of the latents, which never moves.
        steps: of each.
        batch: latents that are optimised at once.
        advance: is told of images times steps.

    Raises:
        ConfigError: the model decodes no latents, or has no images.
    """
    if model.prior is None or not model.data.is_image:
        raise ConfigError(f"{type(model).__name__} decodes no latents into images")
    classes = model.data.classes if model.conditional and target.label is None else 1
    kinds = classes * categories(model.prior).count
    starts = -(-max(starts, kinds) // kinds) * kinds
    parts = []
    for some in torch.arange(len(target.images)).split(max(1, batch // starts)):
        known = None if target.known is None else target.known[some]
        piece = Target(target.images[some], known, target.label)
        parts.append(_descend(model, piece, seed, starts, steps, advance))
    z, loss = torch.cat([one.z for one in parts]), torch.cat([one.loss for one in parts])
    known_classes = [one.y for one in parts if one.y is not None]
    y = torch.cat(known_classes) if known_classes else None
    with torch.no_grad():
        images = decode(model, z, y).float().cpu()
    return Inversion(z, y, images, loss)


def _descend(
    model: Model,
    target: Target,
    seed: int,
    starts: int,
    steps: int,
    advance: Callable[[int], object],
) -> Inversion:
    """The best latents of a few images; `images` are the target's."""
    n, device = len(target.images), model.device
    wish = SampleRequest(seed)
    chunks = range(-(-starts // CHUNK))
    begin = torch.cat([latents(model, wish, number) for number in chunks])[:starts]
    classes = model.data.classes if model.conditional and target.label is None else 1
    begin = categories(model.prior).put(begin, torch.arange(starts) // classes)
    y = None
    if model.conditional:
        y = torch.arange(starts) % model.data.classes
        if target.label is not None:
            y = torch.full((starts,), target.label)
        y = y.repeat(n).to(device)
    z = begin.repeat(n, 1).to(device)  # image by image, each with all starts
    x = target.images.to(device)
    if target.known is None and isinstance(model, Encodes):
        latents_of = getattr(model, "latents_of", lambda codes: codes)
        for place in range(classes):  # y[place::starts] are of one class
            with torch.no_grad():
                codes = model.encode(x, None if y is None else y[place::starts])
                z[place::starts] = inside(model.prior, latents_of(codes))
    moves = movable(model.prior).to(device)
    x = x.repeat_interleave(starts, 0)
    known = None if target.known is None else target.known.to(device).repeat_interleave(starts, 0)
    objective = Objective(model, x, known, y)
    z.requires_grad_()
    optimizer = without_dynamo(torch.optim.Adam)([z], lr=RATE)
    best, found = torch.full((n * starts,), math.inf, device=device), z.detach().clone()
    for step in range(steps + 1):
        with torch.enable_grad():
            loss = objective(z)
            (slope,) = torch.autograd.grad(loss.sum(), z)
        better = loss.detach() < best
        best = torch.where(better, loss.detach(), best)
        found = torch.where(better[:, None], z.detach(), found)
        if step == steps:
            break
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 + math.cos(math.pi * step / steps)) / 2
        z.grad = slope * moves
        optimizer.step()
        with torch.no_grad():
            z.copy_(inside(model.prior, z))
        advance(n)
    chosen = best.view(n, starts).argmin(1) + starts * torch.arange(n, device=device)
    y = None if y is None else y[chosen].cpu()
    return Inversion(found[chosen].cpu(), y, target.images, best[chosen].cpu())


def categories(prior: Prior) -> Codes:
    """Each combination of the latents' categories; none of too many."""
    known = [place for place in places(prior).values() if place.categories]
    every = Codes(tuple((place.start, torch.eye(place.categories)) for place in known))
    return every if every.count <= MOST_KINDS else Codes()


class Objective:
    """The loss [n] of latents [n, dim] for as many images.

    Args:
        model: in eval mode.
        images: [n, C, H, W].
        known: see `Target`.
        y: classes [n].
    """

    def __init__(
        self, model: Model, images: Tensor, known: Tensor | None, y: Tensor | None
    ) -> None:
        self.model, self.images, self.y = model, images, y
        self.weight = None if known is None else importance(known)
        self.features = None
        if known is None and (trunk := features_of(model)) is not None:
            with torch.no_grad():
                self.wanted = trunk(images, y)
            self.features = trunk
        self.level, self.spread = 0.0, 0.0
        if known is not None:
            self.level, self.spread = own_scores(model)

    def __call__(self, z: Tensor) -> Tensor:
        made = self.model.generate(z, self.y).float()
        gap = made - self.images
        if self.weight is None:
            loss = gap.square().flatten(1).mean(1)
        else:  # Yeh et al. 2017, Eq. 3: a weighted L1 distance
            loss = (self.weight * gap.abs()).flatten(1).sum(1) / self.weight.flatten(1).sum(1)
        if self.features is not None:
            far = (self.features(made, self.y) - self.wanted).square().mean(1)
            loss = loss + FEATURES * far / self.wanted.square().mean(1).clamp_min(1e-6)
        if self.spread and isinstance(self.model, Scores):
            score = self.model.score(made, self.y)
            assert score is not None, "own_scores would be 0"
            loss = loss + REALISM * softplus(-(score.float() - self.level) / self.spread)
        return loss - PRIOR * self.model.prior.log_prob(z) / z.shape[1]


def features_of(model: Model) -> Callable[[Tensor, Tensor | None], Tensor] | None:
    """The features [n, width] of the model's discriminator; None where it has none."""
    trunk: Any = getattr(getattr(model, "discriminator", None), "features", None)
    if trunk is None or not isinstance(model, Scores):
        return None
    with torch.no_grad():
        x = torch.zeros(2, *model.data.shape, device=model.device)
        y = torch.zeros(2, dtype=torch.int64, device=model.device) if model.conditional else None
        try:
            trunk(x, y)
            if model.score(x, y) is None:
                return None
        except RuntimeError:  # it sees codes, alone or beside samples
            return None
    return lambda x, y: trunk(x, y).flatten(1).float()


@torch.no_grad()
def own_scores(model: Model) -> tuple[float, float]:
    """Mean and deviation of the discriminator's output on 64 samples; 0 where it has none."""
    z, y = latents(model, SampleRequest(), 0), labels(model, SampleRequest(), 0, CHUNK)
    x = decode(model, z, y)
    score = None
    if isinstance(model, Scores):
        score = model.score(x, None if y is None else y.to(model.device))
    if score is None:
        return 0.0, 0.0
    return score.float().mean().item(), score.float().std().item()


def importance(known: Tensor) -> Tensor:
    """How much each known pixel counts: the share of unknown ones around it, 0 for unknown ones.

    Yeh et al. 2017, Eq. 2, over windows of 7 x 7 pixels; far from holes at least 1 / 49, so that
    the rest of the image counts as well.

    Args:
        known: [n, 1, H, W].
    """
    kernel = torch.ones(1, 1, WINDOW, WINDOW, device=known.device) / WINDOW**2
    around = conv2d(1 - known, kernel, padding=WINDOW // 2)
    return known * around.clamp_min(1 / WINDOW**2)


def inside(prior: Prior, z: Tensor) -> Tensor:
    """Latents [n, dim] moved to where the prior has mass."""
    if isinstance(prior, Product):
        parts = prior.split(z)
        return prior.join(**{name: inside(part, parts[name]) for name, part in prior.parts.items()})
    if isinstance(prior, Uniform):
        return z.clamp(prior.low, prior.high)
    return z
