"""Curves of a model's health: how diverse its samples are, and how many units are dead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gan_cli.data.dataset import Dataset
from gan_cli.metrics.diversity import mean_pairwise_distance
from gan_cli.seeding import mix, seed_streams
from gan_cli.training.trainer import Trainer

STREAM = 0x4EA1  # of random numbers
SAMPLES = 64
AT = 1 - 1e-6  # of the limit, which is rounded


class Indicators:
    """Measures them with averaged weights, as a function of (weights, seed, step).

    Args:
        trainer: whose model is looked at.
        dataset: real samples, for comparison.
        seed: of the run.
        limit: of the discriminator's weights, where they are clipped.
    """

    def __init__(
        self, trainer: Trainer, dataset: Dataset, seed: int, limit: float | None = None
    ) -> None:
        self.trainer, self.dataset, self.seed, self.limit = trainer, dataset, seed, limit
        self._real = 0.0  # mean distance of real samples from each other

    def __call__(self) -> Mapping[str, float]:
        """The curves' next values; without "health/diversity" where it means nothing.

        "health/diversity" is the mean distance of 64 samples from each other, divided by that of
        real ones. "health/dead_units" is the largest share, over the layers that end in a ReLU, of
        units (of a map: channels) that are 0 for all of them. "health/weights_at_limit" is the
        share of the discriminator's weights that clipping holds at its limit.
        """
        with self.trainer.sampling() as model:
            seed_streams(mix(self.seed, STREAM, self.trainer.step), model.device)
            with counting(model) as dead:
                samples = model.sample(SAMPLES)
        found = {"health/dead_units": max(dead.values())} if dead else {}
        critic = getattr(self.trainer.model, "discriminator", None)
        if self.limit is not None and isinstance(critic, nn.Module):
            weights = torch.cat([p.detach().flatten() for p in critic.parameters()]).abs()
            found["health/weights_at_limit"] = (weights >= AT * self.limit).float().mean().item()
        if not self.dataset.spec.is_text and torch.is_floating_point(samples):
            found["health/diversity"] = mean_pairwise_distance(samples.cpu()) / self._of_real()
        return found

    def _of_real(self) -> float:
        if not self._real:
            generator = torch.Generator().manual_seed(mix(self.seed, STREAM))
            places = torch.randperm(self.dataset.spec.size, generator=generator)[:SAMPLES]
            real = self.dataset.real(places.to(self.dataset.device))
            self._real = max(mean_pairwise_distance(real.cpu()), 1e-12)
        return self._real


@contextmanager
def counting(model: nn.Module) -> Iterator[dict[str, float]]:
    """Within it, the share of dead units of each ReLU is kept, by its module's name."""
    shares: dict[str, float] = {}

    def hook(name: str) -> object:
        def look(module: nn.Module, given: object, output: Tensor) -> None:
            alive = (output != 0).transpose(0, 1).flatten(1).any(1)
            share = 1 - alive.float().mean().item()
            shares[name] = min(share, shares.get(name, 1.0))  # dead is what every batch leaves at 0

        return look

    hooks = [
        module.register_forward_hook(hook(name))  # type: ignore[arg-type]
        for name, module in model.named_modules()
        if isinstance(module, nn.ReLU)
    ]
    try:
        yield shares
    finally:
        for one in hooks:
            one.remove()
