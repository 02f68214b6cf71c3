"""Loops over a game's networks as one writes them by hand: the published way and a tuned way.

Both play the very game of the model they are given, on the same data, with the same batch size and
the same numbers of updates. They leave out what a trainer adds: seeds of steps, curves, freezing by
phases, averages.

The published way is that of pytorch/examples (DCGAN) and PyTorch-GAN (WGAN, cGAN, InfoGAN): images
as normalised floats, torch's own memory format, an optimizer with torch's defaults, two backward
passes of the discriminator where the script has two, gradients of the discriminator computed and
thrown away in the generator's update, losses read for printing. Its images lie in memory, where the
scripts decode and resize them with a loader: that cost is not counted against them.

The tuned way is what an expert writes for this machine: uint8 images in memory, channels_last,
fused optimizers, frozen discriminator, one backward pass for each update, autocast where it pays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus
from torch.optim import Optimizer

from gan_cli.data.dataset import Dataset
from gan_cli.models.gan import GAN

LIMIT = 0.01  # of WGAN's weights
Step = Callable[[], None]


class Loop:
    """What the two ways share: data, noise and the numbers of the game."""

    def __init__(self, model: GAN, data: Dataset, batch: int) -> None:
        self.model, self.batch, self.device = model, batch, model.device
        self.images, self.targets = data.values, data.targets
        size = len(self.images)
        self.order = iter(torch.randint(size, (100_000, batch), device=self.device))
        self.d_steps = model.d_steps

    def noise(self) -> Tensor:
        return torch.randn(self.batch, self.model.prior.dim, device=self.device)

    def labels(self, index: Tensor) -> Tensor | None:
        return self.targets[index] if self.model.conditional and self.targets is not None else None


def update(optimizer: Optimizer, *losses: Tensor) -> None:
    """Zero, backward for each loss, step."""
    optimizer.zero_grad()
    for loss in losses:
        loss.backward()
    optimizer.step()


def published(model: GAN, data: Dataset, batch: int, optimizer: Callable[..., Optimizer]) -> Step:
    """A step of the published way."""
    loop = Loop(model, data, batch)
    generator, discriminator = model.generator, model.discriminator
    images = loop.images.float().div_(127.5).sub_(1)
    d_optimizer, g_optimizer = optimizer(discriminator), optimizer(generator)
    ones = torch.ones(batch, device=loop.device)
    zeros = torch.zeros(batch, device=loop.device)
    cross_entropy = binary_cross_entropy_with_logits

    def saturating() -> None:
        index = next(loop.order)
        real, y = images[index], loop.labels(index)
        fake = generator(loop.noise(), y)
        d_optimizer.zero_grad()
        on_real = cross_entropy(discriminator(real, y), ones)
        on_real.backward()
        on_fake = cross_entropy(discriminator(fake.detach(), y), zeros)
        on_fake.backward()
        d_optimizer.step()
        loss = cross_entropy(discriminator(fake, y), ones)
        update(g_optimizer, loss)
        _ = loss.item(), (on_real + on_fake).item()

    def wasserstein() -> None:
        losses = []
        for _ in range(loop.d_steps):
            real = images[next(loop.order)]
            fake = generator(loop.noise()).detach()
            losses.append(-discriminator(real).mean() + discriminator(fake).mean())
            update(d_optimizer, losses[-1])
            for parameter in discriminator.parameters():
                parameter.data.clamp_(-LIMIT, LIMIT)
        answer = -discriminator(generator(loop.noise())).mean()
        update(g_optimizer, answer)
        _ = losses[-1].item(), answer.item()

    return wasserstein if model.loss.unbounded else saturating


def tuned(
    model: GAN,
    data: Dataset,
    batch: int,
    optimizer: Callable[..., Optimizer],
    precision: Callable[[], AbstractContextManager[object]],
) -> Step:
    """A step of the tuned way; the model lies in its fastest memory format already."""
    loop = Loop(model, data, batch)
    generator, discriminator = model.generator, model.discriminator
    d_optimizer, g_optimizer = optimizer(discriminator), optimizer(generator)

    def real(index: Tensor) -> Tensor:
        return loop.images[index].float().div_(127.5).sub_(1)

    def saturating() -> None:
        index = next(loop.order)
        y = loop.labels(index)
        with precision():
            fake = generator(loop.noise(), y)
            loss = softplus(-discriminator(real(index), y)).mean()
            loss = loss + softplus(discriminator(fake.detach(), y)).mean()
        update(d_optimizer, loss)
        frozen(discriminator, True)
        with precision():
            answer = softplus(-discriminator(fake, y)).mean()
        update(g_optimizer, answer)
        frozen(discriminator, False)

    def wasserstein() -> None:
        for _ in range(loop.d_steps):
            with precision():
                with torch.no_grad():
                    fake = generator(loop.noise())
                loss = discriminator(fake).mean() - discriminator(real(next(loop.order))).mean()
            update(d_optimizer, loss)
            with torch.no_grad():
                for parameter in discriminator.parameters():
                    parameter.clamp_(-LIMIT, LIMIT)
        frozen(discriminator, True)
        with precision():
            answer = -discriminator(generator(loop.noise())).mean()
        update(g_optimizer, answer)
        frozen(discriminator, False)

    return wasserstein if model.loss.unbounded else saturating


def frozen(module: nn.Module, state: bool) -> None:
    """Whether the module's weights are constants."""
    parameters: Iterable[nn.Parameter] = module.parameters()
    for parameter in parameters:
        parameter.requires_grad_(not state)
