"""Paths across a grid: structures that a rule, not a pixel, makes valid."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gan_cli.data.dataset import Dataset
from gan_cli.data.published import parts
from gan_cli.errors import ConfigError

SEED = 0x9A7B
SIZES = {"train": 20_000, "test": 5_000}


class Paths(Dataset):
    """Label maps of paths from the left side of a square to the right one, and their ends.

    A path has one pixel in each column, in the row of the one before or in one beside it. All
    paths between two ends are equally likely, so many targets are right for one input: the ends,
    white on black. The class counts the pairs of ends, `ends` * left + right. Paths are drawn once
    from a fixed seed, the same in every run and on every machine.

    Args:
        split: train (20,000 paths), test (5,000 others) or all.
        side: of the square, in pixels.
        ends: rows, evenly spaced, in which a path may begin, and as many in which it may end.
    """

    def __init__(self, split: str = "train", side: int = 16, ends: int = 4) -> None:
        if not 4 <= side <= 256:
            raise ConfigError(f"data.side = {side}: a number from 4 to 256 is needed")
        if not 1 <= ends <= side:
            raise ConfigError(f"data.ends = {ends}: a number from 1 to data.side is needed")
        self.rows_of_ends = (torch.arange(ends) * 2 + 1) * side // (2 * ends)  # [ends]
        drawn = [self._drawn(part, side) for part in parts(split)]
        rows, labels = (torch.cat(tables) for tables in zip(*drawn, strict=True))
        names = tuple(f"{a}-{b}" for a in self.rows_of_ends for b in self.rows_of_ends)
        super().__init__("paths", images_of(rows), labels, names)
        self.spec = replace(self.spec, source=self.spec.shape)

    def _drawn(self, part: str, side: int) -> tuple[Tensor, Tensor]:
        """Rows [n, side] and classes [n] of the paths of a split."""
        generator = torch.Generator().manual_seed(SEED + (part == "test"))
        ends = len(self.rows_of_ends)
        labels = torch.randint(ends**2, (SIZES[part],), generator=generator)
        first, last = self.ends_of(labels)
        ways = ways_to(side)
        rows = [first]
        for column in range(1, side):
            # A step is as likely as paths are many that go on from it.
            steps = rows[-1][:, None] + torch.tensor([-1, 0, 1])  # [n, 3]
            inside = (steps >= 0) & (steps < side)
            weights = ways[side - 1 - column][steps.clamp(0, side - 1), last[:, None]] * inside
            chosen = torch.multinomial(weights, 1, generator=generator)
            rows.append(steps.gather(1, chosen)[:, 0])
        return torch.stack(rows, 1), labels

    def ends_of(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The rows [n] on the left and on the right of classes [n]."""
        rows, ends = self.rows_of_ends.to(labels.device), len(self.rows_of_ends)
        return rows[labels // ends], rows[labels % ends]

    def source(self, index: Tensor) -> Tensor:
        """The target without its columns between the first and the last one."""
        inputs = self.real(index)
        inputs[..., 1:-1] = -1
        return inputs

    def valid(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Which images [n, 1, side, side] are paths, by pixels above 0; bool [n].

        Args:
            x: the images.
            labels: classes [n] whose ends the paths must have; None: any ends will do.
        """
        on = x[:, 0] > 0
        rows = on.int().argmax(1)  # [n, side]
        found = (on.sum(1) == 1).all(1) & (rows.diff(dim=1).abs() <= 1).all(1)
        if labels is None:
            return found
        first, last = self.ends_of(labels)
        return found & (rows[:, 0] == first) & (rows[:, -1] == last)

    def marginals(self, labels: Tensor) -> Tensor:
        """How likely each pixel is on, [n, 1, side, side]: the optimum of independent outputs."""
        side = self.spec.shape[-1]
        ways = ways_to(side)
        first, last = self.ends_of(labels)
        columns = [ways[c][:, first] * ways[side - 1 - c][:, last] for c in range(side)]
        return (torch.stack(columns, 1) / ways[side - 1][first, last]).permute(2, 0, 1)[:, None]


def ways_to(side: int) -> Tensor:
    """Numbers of paths of 0 ... side - 1 steps between two rows, float64 [side, side, side]."""
    near = (torch.arange(side)[:, None] - torch.arange(side)).abs() <= 1
    found = [torch.eye(side, dtype=torch.float64)]
    for _ in range(side - 1):
        found.append(found[-1] @ near.double())
    return torch.stack(found)


def images_of(rows: Tensor) -> Tensor:
    """Images uint8 [n, 1, side, side], white in each column at its row of [n, side]."""
    grid = torch.arange(rows.shape[1])[:, None] == rows[:, None]
    return (grid * 255).to(torch.uint8)[:, None]
