"""The pictures of a run at one step."""

from __future__ import annotations

import torch
from numpy import ndarray
from torch import Tensor

from gan_cli.data.dataset import Dataset
from gan_cli.model import (
    Batch,
    Draws,
    Grid,
    HasSampleGradient,
    HasViews,
    Reconstructs,
    Scores,
    View,
)
from gan_cli.plots import points
from gan_cli.plots.views import draw
from gan_cli.seeding import mix, seed_streams
from gan_cli.training.trainer import Trainer

FIXED, DRAWN, SHOWN = 0xF1, 0xD2, 0x5E  # random streams of their own
LATENTS = 64  # the same throughout a run
POINTS = 2000
PAIRED = 32  # images shown beside their reconstructions


class Draw:
    """Makes the pictures of a step, with averaged weights.

    The latents are the same at every step, and all pictures are a function of (weights, seed,
    step), so a resumed run draws the same.

    Args:
        trainer: whose model draws.
        dataset: real samples are shown once, before training.
        seed: of the run.
    """

    def __init__(self, trainer: Trainer, dataset: Dataset, seed: int) -> None:
        self.trainer, self.dataset, self.seed = trainer, dataset, seed
        model = trainer.model
        generator = torch.Generator().manual_seed(mix(seed, FIXED))
        self.latents = None
        if model.prior is not None:
            self.latents = model.prior.sample(LATENTS, generator=generator).to(model.device)

    def __call__(self, step: int) -> dict[str, ndarray | str]:
        """Pictures by name, each uint8 [height, width, channels]; of sentences, a text."""
        image, density = self.dataset.spec.is_image, self.dataset.log_density
        batch = self._some(LATENTS if image else POINTS)
        shown: dict[str, ndarray | str] = {}
        with self.trainer.sampling() as model:
            seed_streams(mix(self.seed, DRAWN, step), model.device)
            views: dict[str, View] = {}
            if image:
                if step == 0:
                    views["real"] = Grid(batch.real, 8)
                if self.latents is not None and isinstance(model, Draws):
                    views |= model.pictures(self.latents)
                if isinstance(model, Reconstructs):
                    rebuilt = model.reconstruct(batch.at(batch.index[:PAIRED]))
                    if rebuilt is not None:
                        views["samples/reconstruction"] = above(batch.real[:PAIRED], rebuilt, 8)
            elif self.dataset.spec.is_text:
                shown["samples/text"] = "\n".join(model.data.sentences(model.sample(LATENTS)))
            else:
                shown["samples/points"] = points.draw(
                    batch.real,
                    model.sample(POINTS),
                    model.score if isinstance(model, Scores) else None,
                    density,
                    sample_gradient=(
                        model.sample_gradient if isinstance(model, HasSampleGradient) else None
                    ),
                    name=getattr(model, "score_name", "D"),
                )
            if isinstance(model, HasViews):
                views |= model.views(batch, density)
            return shown | {name: draw(view) for name, view in views.items()}

    def _some(self, n: int) -> Batch:
        """Real samples, the same at every step."""
        generator = torch.Generator().manual_seed(mix(self.seed, SHOWN))
        places = torch.randperm(self.dataset.spec.size, generator=generator)[:n]
        data = self.dataset
        return Batch(places.to(data.device), data.real, data.labels, data.source)


def above(first: Tensor, second: Tensor, columns: int) -> Grid:
    """Images [n, C, H, W] in rows, each with a row of their counterparts below it."""
    pairs = zip(first.split(columns), second.split(columns), strict=True)
    return Grid(torch.cat([row for pair in pairs for row in pair]), columns)
