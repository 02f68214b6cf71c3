"""How a classifier learns: a fixed recipe, with random numbers of its own."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from gan_cli.data.dataset import Dataset
from gan_cli.errors import DataError
from gan_cli.evaluation.features import exactly
from gan_cli.optimizers import without_dynamo
from gan_cli.seeding import mix, seed_streams

WIDTH = 128  # of the penultimate layer
LONGEST = 32  # pixels of a side; longer ones are shrunk
CHANNELS = (32, 64, 128)  # after each layer, which halves the sides
CHANNELS_LAST = ("cpu", "cuda")  # kinds of devices that compute faster so
RESIZE = f"images with a side above {LONGEST} shrunk to it, by area; others left as they are"


class ClassifierNetwork(nn.Module):
    """Three strided convolutions and two linear layers, with batch norm before each ReLU.

    Args:
        shape: of the images, (channels, height, width).
        classes: how many there are.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        channels, *size = shape
        self.size = shrunk(*size)
        steps = pairwise((channels, *CHANNELS))
        self.trunk = nn.Sequential(*(_layer(before, after) for before, after in steps))
        height, width = self.size
        for _ in CHANNELS:
            height, width = (height + 1) // 2, (width + 1) // 2
        self.penultimate = nn.Sequential(
            nn.Flatten(),
            nn.Linear(CHANNELS[-1] * height * width, WIDTH, bias=False),
            nn.BatchNorm1d(WIDTH),
            nn.ReLU(inplace=True),
        )
        self.last = nn.Linear(WIDTH, classes)
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("deviation", torch.ones(channels, 1, 1))

    def placed(self, device: torch.device) -> ClassifierNetwork:
        """Itself, on `device`, laid out as that likes it."""
        self.to(device)
        if device.type in CHANNELS_LAST:
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    @torch.no_grad()
    def standardise(self, images: Tensor) -> None:
        """Take each channel's mean and deviation over images [n, C, H, W] for those of the data."""
        self.mean.copy_(images.mean((0, 2, 3))[:, None, None])
        # A channel that never changes is left as it is.
        deviation = images.std((0, 2, 3), correction=0)[:, None, None]
        self.deviation.copy_(torch.where(deviation > 0, deviation, 1))

    def features(self, images: Tensor) -> Tensor:
        """The penultimate layer [n, 128] on images [n, C, H, W] in [-1, 1]."""
        if images.shape[-2:] != self.size:
            images = F.interpolate(images, self.size, mode="area")
        x = (images - self.mean) / self.deviation
        if x.device.type in CHANNELS_LAST:
            x = x.contiguous(memory_format=torch.channels_last)
        return self.penultimate(self.trunk(x))

    def forward(self, images: Tensor) -> Tensor:
        """Logits [n, classes] of images [n, C, H, W] in [-1, 1]."""
        return self.last(self.features(images))


def _layer(before: int, after: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


def shrunk(height: int, width: int) -> tuple[int, int]:
    """The size to work at, of the same proportions."""
    factor = min(1.0, LONGEST / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


LEARNING = 0xC1A5  # keeps this random stream apart from all others
LOOK = 1 << 25  # pixel values over which channels' mean and deviation are taken
AT_ONCE = 256  # images that are classified at once
KEEP_EVERY = 5.0  # seconds between states from which an interrupted training continues
State = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """All that decides how a classifier comes out, beside its data.

    AdamW (Loshchilov and Hutter 2019) with a learning rate that climbs for a fifth of the way and
    then falls to 0 in a straight line (Smith and Topin 2018), on images moved by a pixel or two.

    Attributes:
        images: that are looked at in all, however many the data has.
        batch: images per step.
        peak: the learning rate's.
        climb: share of the steps until the peak.
        decay: of the weights; biases and norms are left alone.
        shift: pixels that an image is moved by at most, along each axis.
        seed: of the weights, the order and the shifts.
    """

    images: int = 240_000
    batch: int = 128
    peak: float = 6e-3
    climb: float = 0.2
    decay: float = 0.05
    shift: int = 1
    seed: int = 0

    def rate(self, step: int, steps: int) -> float:
        """The learning rate at `step`, counted from 0."""
        done = (step + 1) / (steps + 1)
        return self.peak * min(done / self.climb, (1 - done) / (1 - self.climb))


def nothing(count: int) -> None:
    """The `advance` of who does not want to know."""


def trained(
    data: Dataset,
    recipe: Recipe,
    device: torch.device,
    advance: Callable[[int], None] = nothing,
    begun: State | None = None,
    keep: Callable[[State], None] | None = None,
) -> ClassifierNetwork:
    """A network in eval mode that has learned the classes of `data`.

    The same on the same machine with as many threads, and the program's own random streams,
    precision and gradient mode are afterwards what they were.

    Args:
        data: images with labels.
        recipe: how.
        device: where to compute.
        advance: called after each step with the number of its images; may raise to break off.
        begun: what `keep` was given of an earlier training, to continue exactly from there.
        keep: called every few seconds, between two steps.

    Raises:
        DataError: it has no labels, or is no images, or too few.
    """
    if reason := unfit(data):
        raise DataError(f"{data.spec.name}: {reason}")
    with _apart(device, mix(recipe.seed, LEARNING)):
        channels, height, width = data.spec.shape
        network = ClassifierNetwork((channels, height, width), data.spec.classes).placed(device)
        _learn(network, data, recipe, device, advance, begun, keep)
        return network.eval().requires_grad_(False)


def unfit(data: Dataset) -> str:
    """Why nothing can be learned of `data`, as half a sentence; empty where it can."""
    if not data.spec.is_image:
        return f"a classifier needs images, and this data holds {data.spec.kind}"
    if data.targets is None or data.spec.classes < 2:
        return "a classifier learns labels of at least two classes, and this data has none"
    if data.spec.size < 2:
        return f"a classifier cannot be trained on {data.spec.size} image"
    return ""


@torch.no_grad()
def accuracy(network: ClassifierNetwork, data: Dataset) -> float:
    """The share of all images of `data` whose class the network tells."""
    device, hits = network.mean.device, 0
    with exactly(), torch.autocast(device.type, enabled=False):
        for places in torch.arange(data.spec.size).split(AT_ONCE):
            images, labels = _batch(data, places, device)
            hits += int((network(images).argmax(1) == labels).sum())
    return hits / data.spec.size


@contextmanager
def _apart(device: torch.device, seed: int) -> Iterator[None]:
    """Within it, gradients in whole fp32 and random streams that start at `seed`."""
    with (
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
        exactly(),
    ):
        seed_streams(seed, device)
        yield


def _learn(
    network: ClassifierNetwork,
    data: Dataset,
    recipe: Recipe,
    device: torch.device,
    advance: Callable[[int], None],
    begun: State | None,
    keep: Callable[[State], None] | None,
) -> None:
    random = Generator().manual_seed(mix(recipe.seed, LEARNING, 1))
    enough = max(1, LOOK // math.prod(data.spec.shape))
    look = torch.randperm(data.spec.size, generator=random)[:enough]
    network.standardise(data.real(look.to(data.device)).to(device))
    batch = min(recipe.batch, data.spec.size)
    steps = max(1, recipe.images // batch)
    optimizer, done, kept_at = _optimizer(network, recipe), 0, time.monotonic()
    if begun is not None:
        network.load_state_dict(begun["network"])
        optimizer.load_state_dict(begun["optimizer"])
        done = begun["step"]
    for step, places in zip(range(steps), _orders(data.spec.size, batch, random), strict=False):
        if step < done:  # only what it drew
            shifts(batch, recipe.shift, random)
            continue
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step, steps)
        images, labels = _batch(data, places, device)
        logits = network(shifted(images, recipe.shift, random))
        optimizer.zero_grad()
        F.cross_entropy(logits, labels).backward()
        optimizer.step()
        if keep is not None and time.monotonic() - kept_at >= KEEP_EVERY:
            states = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
            keep({"step": step + 1, **states})
            kept_at = time.monotonic()
        advance(batch)


def _optimizer(network: ClassifierNetwork, recipe: Recipe) -> torch.optim.Optimizer:
    tables = [p for p in network.parameters() if p.dim() > 1]
    vectors = [p for p in network.parameters() if p.dim() <= 1]
    return without_dynamo(torch.optim.AdamW)(
        [
            {"params": tables, "weight_decay": recipe.decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=recipe.peak,
        fused=True,
    )


def _orders(size: int, batch: int, random: Generator) -> Iterator[Tensor]:
    """Places [batch], each sample once before any comes again; a last short batch is left out."""
    while True:
        order = torch.randperm(size, generator=random)
        yield from order[: size // batch * batch].split(batch)


def _batch(data: Dataset, places: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    index = places.to(data.device)
    labels = data.labels(index)
    assert labels is not None, "checked before"
    return data.real(index).to(device), labels.to(device)


def shifts(n: int, most: int, random: Generator) -> Tensor:
    """Pixels [2, n, 1] down and to the right by which images are moved."""
    if most == 0:
        return torch.zeros(2, n, 1, dtype=torch.int64)
    return torch.randint(-most, most + 1, (2, n, 1), generator=random)


def shifted(images: Tensor, most: int, random: Generator) -> Tensor:
    """Images [n, C, H, W], moved by up to `most` pixels along each axis; edges repeat."""
    n, _, height, width = images.shape
    if most == 0:
        return images
    down, right = shifts(n, most, random)
    rows = (torch.arange(height) + down).clamp_(0, height - 1).to(images.device)  # [n, height]
    columns = (torch.arange(width) + right).clamp_(0, width - 1).to(images.device)
    which = torch.arange(n, device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)  # in memory the channels lie last, as the network likes them
