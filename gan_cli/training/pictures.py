"""The pictures of a run at one step."""

from __future__ import annotations

import torch
from numpy import ndarray

from gan_cli.callbacks import points
from gan_cli.data.dataset import Dataset
from gan_cli.imaging import tile
from gan_cli.model import Grid
from gan_cli.seeding import mix, seed_streams
from gan_cli.training.trainer import Trainer

FIXED, DRAWN, SHOWN = 0xF1, 0xD2, 0x5E  # random streams of their own
LATENTS = 64  # that stay the same all run long
POINTS = 2000
LEGIBLE = 56  # pixels; smaller images are magnified


class Draw:
    """Makes the pictures of a step, with averaged weights.

    The same latents serve at every step, and everything drawn is a function of (weights, seed,
    step), so a resumed run draws what it would have drawn.

    Args:
        trainer: whose model draws.
        dataset: shown once as it is, before training.
        seed: of the run.
    """

    def __init__(self, trainer: Trainer, dataset: Dataset, seed: int) -> None:
        self.trainer, self.dataset, self.seed = trainer, dataset, seed
        model = trainer.model
        generator = torch.Generator().manual_seed(mix(seed, FIXED))
        self.latents = None
        if model.prior is not None:
            self.latents = model.prior.sample(LATENTS, generator=generator).to(model.device)

    def __call__(self, step: int) -> dict[str, ndarray]:
        """Pictures by name, each uint8 [height, width, channels]."""
        with self.trainer.sampling() as model:
            seed_streams(mix(self.seed, DRAWN, step), model.device)
            if not self.dataset.spec.is_image:
                real = self.dataset.real(self._some(POINTS))
                fake = model.sample(POINTS)
                density = self.dataset.log_density
                return {"samples/points": points.draw(real, fake, model.score, density)}
            grids = {} if self.latents is None else model.pictures(self.latents)
        if step == 0:
            grids = {"real": Grid(self.dataset.real(self._some(LATENTS)), 8), **grids}
        return {name: self._tiled(grid) for name, grid in grids.items()}

    def _tiled(self, grid: Grid) -> ndarray:
        zoom = max(1, LEGIBLE // max(grid.images.shape[2:]))
        return tile(grid.images, grid.columns, zoom=zoom)

    def _some(self, n: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(mix(self.seed, SHOWN))
        places = torch.randperm(self.dataset.spec.size, generator=generator)[:n]
        return places.to(self.dataset.device)
