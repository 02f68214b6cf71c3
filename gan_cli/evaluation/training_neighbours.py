"""The training images that are nearest to generated ones, in pixels and in features."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

import torch
from numpy import ndarray
from torch import Tensor

from gan_cli.console import ignore, progress_bar
from gan_cli.data.dataset import Dataset
from gan_cli.device import float64_device
from gan_cli.errors import ConfigError
from gan_cli.evaluation import real_baseline
from gan_cli.evaluation.features import quantised
from gan_cli.evaluation.metric import Extractor
from gan_cli.metrics.neighbours import nearest_k
from gan_cli.plots.sheet import named_table
from gan_cli.sampling.output import magnification

if TYPE_CHECKING:
    from rich.table import Table

PIECE = 1 << 24  # pixel values of training images that are read at once


def as_pixels(images: Tensor) -> Tensor:
    """The images themselves."""
    return images


class Neighbours(NamedTuple):
    """Of n images, the nearest first."""

    distance: Tensor  # float64 [n, k]
    places: Tensor  # int64 [n, k], in the data


def nearest_in(
    data: Dataset,
    queries: Tensor,
    device: torch.device,
    among: Tensor | None = None,
    k: int = 1,
    represent: Callable[[Tensor], Tensor] = as_pixels,
    advance: Callable[[int], object] = ignore,
) -> Neighbours:
    """The images of `data` that are nearest to each query.

    Where training mirrors images, they are looked at mirrored as well.

    Args:
        data: read piece by piece.
        queries: uint8 [n, C, H, W].
        device: where to compute.
        among: places [m] that are looked at, m at least k; None for all.
        k: neighbours of each.
        represent: images to what is compared, [n, ...].
        advance: called with the number of images of each piece.
    """
    places = torch.arange(data.spec.size) if among is None else among
    sides = [queries, queries.flip(-1)] if data.flips else [queries]
    wanted = [represent(side).to(device) for side in sides]
    best = torch.full((len(queries), k), torch.inf, dtype=torch.float64)
    where = torch.zeros(len(queries), k, dtype=torch.int64)
    for some in places.split(max(1, PIECE // queries[0].numel())):
        bank = represent(quantised(data.real(some.to(data.device)))).to(device)
        for side in wanted:
            distance, index = (x.cpu() for x in nearest_k(side, bank, min(k, len(bank))))
            best, where = _nearer(
                torch.cat([best, distance], 1), torch.cat([where, some[index]], 1), k
            )
        advance(len(some))
    return Neighbours(best, where)


def _nearer(distance: Tensor, places: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest of neighbours [n, m]; a place that is there twice counts once."""
    order = distance.argsort(dim=1, stable=True)
    distance, places = distance.gather(1, order), places.gather(1, order)
    again = (places[:, :, None] == places[:, None, :]).tril(-1).any(2)
    order = distance.masked_fill(again, torch.inf).argsort(dim=1, stable=True)[:, :k]
    return distance.gather(1, order), places.gather(1, order)


@dataclass(frozen=True)
class NeighbourSheet:
    """Images beside their nearest training images.

    Attributes:
        numbers: of the images among those that were drawn, [n].
        images: uint8 [n, C, H, W].
        columns: the neighbours by what is compared, with their images uint8 [n, k, C, H, W].
    """

    numbers: Tensor
    images: Tensor
    columns: dict[str, tuple[Neighbours, Tensor]]

    @classmethod
    def find(
        cls,
        data: Dataset,
        drawn: Tensor,
        number: int,
        k: int,
        extractor: Extractor | None,
        device: torch.device,
        among: int | None = None,
    ) -> Self:
        """Look up images in the data that was trained on.

        Args:
            data: the training images.
            drawn: uint8 [m, C, H, W].
            number: how many are shown: of more, those closest in pixels, the closest first.
            k: neighbours of each.
            extractor: of features; None for pixels alone.
            device: where to compare.
            among: how many training images, chosen at random, are looked at; None for all.

        Raises:
            ConfigError: there are fewer training images than neighbours.
        """
        places = real_baseline.shuffled(data)[:among].sort().values
        if len(places) < k:
            raise ConfigError(f"-k {k}: there are {len(places)} training images to look at")
        device = float64_device(device)

        def look(
            queries: Tensor, what: str, represent: Callable[[Tensor], Tensor] = as_pixels
        ) -> Neighbours:
            with progress_bar(f"{data.spec.name} by {what}", len(places)) as advance:
                return nearest_in(data, queries, device, places, k, represent, advance)

        pixels = look(drawn, "pixels")
        shown = torch.arange(len(drawn))
        if len(drawn) > number:
            shown = pixels.distance[:, 0].argsort(stable=True)[:number]
        found = {"pixels": Neighbours(pixels.distance[shown], pixels.places[shown])}
        if extractor is not None:
            network = extractor
            found["features"] = look(
                drawn[shown], network.name, lambda images: network.features(images)[0]
            )
        columns = {}
        for name, one in found.items():
            images = quantised(real_baseline.real(data, one.places.flatten()))
            columns[name] = one, images.unflatten(0, (-1, k))
        return cls(shown, drawn[shown], columns)

    def picture(self, zoom: int | None = None) -> ndarray:
        """The sheet: a row for each image, an empty column before each kind of neighbours."""
        cells, heads = [self.images[:, None]], ["sample"]
        empty = torch.full_like(self.images[:, None], 255)
        for name, (_, images) in self.columns.items():
            cells += [empty, images]
            heads += ["", f"nearest in {name}", *[""] * (images.shape[1] - 1)]
        rows = torch.cat(cells, dim=1).float() / 127.5 - 1
        names = [str(number) for number in self.numbers.tolist()]
        flat = rows.flatten(0, 1)
        return named_table(flat, rows.shape[1], names, heads, zoom or magnification(flat))

    def table(self) -> Table:
        """The nearest training image of each, and how far it is."""
        from rich.table import Table

        made = Table(title="nearest training images", title_justify="left", title_style="")
        made.add_column("sample", justify="right")
        for name in self.columns:
            made.add_column(f"in {name}", justify="right")
            made.add_column("distance", justify="right")
        root = math.sqrt(self.images[0].numel())
        for row, number in enumerate(self.numbers.tolist()):
            values = [str(number)]
            for name, (found, _) in self.columns.items():
                distance = found.distance[row, 0].item() / (root if name == "pixels" else 1)
                values += [str(found.places[row, 0].item()), f"{distance:.2f}"]
            made.add_row(*values)
        return made
