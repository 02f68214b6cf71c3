"""Sheets and animations of sweeps: a row for each sweep and sample, a column for each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from numpy import ndarray
from torch import Tensor

from gan_cli.model import Model
from gan_cli.plots.sheet import named_table
from gan_cli.sampling import samples as sampling
from gan_cli.sampling.directions import Sweep
from gan_cli.sampling.output import magnification
from gan_cli.sampling.samples import CHUNK, SampleRequest

EMPTY = 1.0  # white, behind the last step of a short sweep


@dataclass(frozen=True)
class Sheet:
    """Samples along sweeps.

    Attributes:
        sweeps: what changes.
        rows: of each sweep, images [samples, steps, C, H, W].
    """

    sweeps: Sequence[Sweep]
    rows: Sequence[Tensor]

    @classmethod
    @torch.no_grad()
    def draw(
        cls, model: Model, sweeps: Sequence[Sweep], request: SampleRequest, number: int
    ) -> Self:
        """Sweep the first samples of a request.

        Args:
            model: in eval mode.
            sweeps: of its latents.
            request: the samples.
            number: how many.
        """
        chunks = range(-(-number // CHUNK))
        z = torch.cat([sampling.latents(model, request, chunk) for chunk in chunks])[:number]
        y = sampling.labels(model, request, 0, number)
        rows = []
        for sweep in sweeps:
            swept = sweep.along(z)  # [number, steps, dim]
            labels = None if y is None else y.repeat_interleave(swept.shape[1])
            images = sampling.decode(model, swept.flatten(0, 1), labels).float().cpu()
            rows.append(images.unflatten(0, swept.shape[:2]))
        return cls(sweeps, rows)

    def picture(self, zoom: int | None = None) -> ndarray:
        """The sheet, with the sweeps' names and, where all have the same, their steps."""
        columns = max(row.shape[1] for row in self.rows)
        full = torch.cat([_filled(row, columns) for row in self.rows]).flatten(0, 1)
        names: list[str] = []
        for sweep, row in zip(self.sweeps, self.rows, strict=True):
            names += [sweep.name, *[""] * (len(row) - 1)]
        heads = {sweep.heads for sweep in self.sweeps}
        shown = heads.pop() if len(heads) == 1 else ()
        return named_table(full, columns, names, shown, zoom or magnification(full))

    def frames(self, zoom: int | None = None) -> list[ndarray]:
        """All rows at each step, a column for each sample; short sweeps wait at their end."""
        steps = max(row.shape[1] for row in self.rows)
        names = [sweep.name for sweep in self.sweeps]
        found = []
        for step in range(steps):
            images = torch.cat([row[:, min(step, row.shape[1] - 1)] for row in self.rows])
            found.append(
                named_table(images, len(self.rows[0]), names, zoom=zoom or magnification(images))
            )
        return found


def _filled(row: Tensor, columns: int) -> Tensor:
    """Images [n, steps, ...] with white ones up to so many columns."""
    empty = row.new_full((len(row), columns - row.shape[1], *row.shape[2:]), EMPTY)
    return torch.cat([row, empty], dim=1)
