"""A generator without an opponent, each image with a code of its own (GLO, Bojanowski 2018)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor, nn

from gan_cli.device import total_memory
from gan_cli.model import Batch, DataSpec, Grid, Loss, Model, Phase
from gan_cli.models.faults import below, refuse
from gan_cli.models.pictures import grids
from gan_cli.networks.family import NetworkFamily
from gan_cli.priors import Gaussian, Prior

BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
SMALLEST = 4  # pixels; a map with a smaller side is not halved further


@lru_cache  # by device too, as a CUDA graph cannot record a copy from the host
def halving(size: int, device: torch.device | str = "cpu") -> Tensor:
    """The matrix [ceil(size / 2), size] that blurs a line and keeps every second place.

    Beyond the ends the line continues with its nearest value.
    """
    matrix = torch.zeros(-(-size // 2), size, dtype=torch.float64)
    for row in range(len(matrix)):
        for k, weight in enumerate(BINOMIAL):
            matrix[row, min(max(2 * row + k - 2, 0), size - 1)] += weight
    return matrix.to(device)


@lru_cache
def doubling(size: int, device: torch.device | str = "cpu") -> Tensor:
    """The matrix [size, ceil(size / 2)] that inserts zeros between places, then blurs.

    Each row is divided by its sum, so constants are kept, also at the ends.
    """
    matrix = torch.zeros(size, -(-size // 2), dtype=torch.float64)
    for row in range(size):
        for k, weight in enumerate(BINOMIAL):
            place = row + k - 2
            if place % 2 == 0 and 0 <= place < size:
                matrix[row, place // 2] += weight
    return (matrix / matrix.sum(1, keepdim=True)).to(device)


def reduce(x: Tensor) -> Tensor:
    """Blur, and keep every second pixel: [n, c, h, w] to [n, c, ceil(h/2), ceil(w/2)]."""
    height, width = x.shape[2:]
    return halving(height, x.device).to(x) @ x @ halving(width, x.device).to(x).T


def expand(x: Tensor, size: tuple[int, int]) -> Tensor:
    """The inverse, up to the details lost, to `size`."""
    height, width = size
    return doubling(height, x.device).to(x) @ x @ doubling(width, x.device).to(x).T


def pyramid(x: Tensor) -> list[Tensor]:
    """L^0, L^1 ...: the details that each halving of images [n, c, h, w] loses, then the rest."""
    levels = []
    while min(x.shape[2:]) >= SMALLEST:
        small = reduce(x)
        levels.append(x - expand(small, (x.shape[2], x.shape[3])))
        x = small
    return [*levels, x]


def lap1(x: Tensor, y: Tensor) -> Tensor:
    """sum_j 2^(2j) |L^j(x) - L^j(y)|_1, over the number of pixel values: [n], of [n, c, h, w].

    Bojanowski et al. 2018, after Ling and Okada 2006, who add up the levels as they are. The
    weights make up for the fewer pixels of coarser levels: each counts with about its mean.
    """
    total = x.new_zeros(len(x))
    for j, level in enumerate(pyramid(x - y)):  # the pyramid is linear
        total = total + 4**j * level.abs().flatten(1).sum(1)
    return total / x[0].numel()


COPIES = 4  # of the table that an optimizer may need: itself, its gradient and two moments


def projected(z: Tensor) -> Tensor:
    """z / max(|z|, 1): onto the unit ball, [n, dim] (Bojanowski et al. 2018, section 2)."""
    return z / z.norm(dim=1, keepdim=True).clamp_min(1)


class Codes(nn.Module):
    """A table of codes [size, dim], one for each sample of the data set, in the unit ball."""

    def __init__(self, codes: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(codes)

    def forward(self, index: Tensor) -> Tensor:
        """Those of the samples at these places [n]: [n, dim]."""
        return self.table[index]

    @torch.no_grad()
    def project(self) -> None:
        """Bring every code back into the ball."""
        self.table.copy_(projected(self.table))


class GLO(Model):
    """min over theta and z_1 ... z_N in the unit ball of mean_i loss(G_theta(z_i), x_i) (Eq. 1).

    The gradient for codes is taken together with that for the generator, of the same images, as
    in the paper; each has an optimizer of its own, as codes are seen once in an epoch.

    Args:
        data: what is to be generated.
        prior: Gaussian; its size is that of the codes. Codes begin as its samples over the root
            of their size, in the ball (the paper also offers PCA, which needs the data first).
        network: builds the generator.
        batch_size: a code goes down the gradient of its own image's loss, which is this many
            times its part in the mean over a batch.
        latents: "learned" codes; "fixed" ones that stay where they began; or "drawn" anew at
            every step, for whatever image, so that the best generator gives their mean.
        lap1: weight of the Laplacian pyramid's distance of images.
        l2: weight of the mean squared difference, for points the only term.
    """

    by_place = True

    def __init__(
        self,
        data: DataSpec,
        prior: Prior,
        network: NetworkFamily,
        batch_size: int,
        latents: Literal["learned", "fixed", "drawn"] = "learned",
        lap1: float = 1.0,
        l2: float = 1.0,
    ) -> None:
        super().__init__()
        self.data, self.prior, self.latents, self.images = data, prior, latents, batch_size
        self.lap1, self.l2 = lap1 if data.is_image else 0.0, l2
        refuse(self._faults())
        self.generator = network.generator(prior.dim, data)
        self.generator.set_reference(lambda n: self._seen(self._as_code(prior.sample(n))))
        self._fitted: tuple[Tensor, Tensor] | None = None
        self.codes: Codes | None = None
        if latents != "drawn":
            self.codes = Codes(self._as_code(prior.sample(data.size)))

    def _faults(self) -> Iterator[str]:
        if not isinstance(self.prior, Gaussian):
            yield (
                "model = glo: samples come from a Gaussian fitted to the codes; set prior=gaussian"
            )
        yield from below({"lap1": self.lap1, "l2": self.l2}, 0)
        if not self.lap1 and not self.l2:
            other = " or model.lap1=1" if self.data.is_image else ""
            yield f"model.l2 = 0: nothing is left to minimise; set model.l2=1{other}"
        needed = COPIES * 4 * self.data.size * self.prior.dim
        if self.latents != "drawn" and needed > total_memory() // 2:
            fits = total_memory() // (8 * COPIES * self.data.size)
            yield (
                f"prior.dim = {self.prior.dim}: codes for {self.data.size:,} samples with their "
                f"optimizer take {needed / 1e9:.1f} GB, more than half of this machine's memory; "
                f"set prior.dim={max(fits, 1)} or model.latents=drawn"
            )

    def _as_code(self, z: Tensor) -> Tensor:
        """Latents [n, dim] scaled to codes: length about 1, none longer."""
        return projected(z / math.sqrt(self.prior.dim))

    def _seen(self, z: Tensor) -> Tensor:
        """Codes scaled to standard normals, which networks are made for."""
        return math.sqrt(self.prior.dim) * z

    def decode(self, z: Tensor) -> Tensor:
        """The samples [n, *shape] of codes [n, dim]."""
        return self.generator(self._seen(z))

    def phases(self) -> list[Phase]:
        generator = Phase("generator", self.generator_loss, (self.generator,))
        if self.codes is None or self.latents != "learned":
            return [generator]
        # Shared, so that recorded updates hand over the codes' gradient too.
        generator = replace(generator, shares=(self.codes,))
        codes = Phase("codes", self.codes_loss, (self.codes,), after=self.codes.project)
        return [generator, codes]

    def generator_loss(self, batch: Batch) -> Loss:
        """The distance of the codes' images from the batch."""
        if self.codes is None or self.latents == "fixed":
            return self._loss(batch, self._of(batch))
        z = self.codes(batch.index)
        loss = self._loss(batch, z)
        # As of now, before the generator has moved; the codes' own phase takes it up.
        (pull,) = torch.autograd.grad(loss.total, z, retain_graph=True)
        batch.kept |= {"pull": pull, "loss": loss.total.detach()}
        return loss

    def codes_loss(self, batch: Batch) -> Loss:
        """The same for the codes, each by its own image; the value is the generator's."""
        assert self.codes is not None
        z = self.codes(batch.index)
        if "pull" in batch.kept:
            pull, value = batch.kept.pop("pull"), batch.kept.pop("loss")
            mean = value + ((z - z.detach()) * pull).sum()
        else:
            mean = self._loss(batch, z).total
        return Loss(mean.detach() + self.images * (mean - mean.detach()), {})

    def _of(self, batch: Batch) -> Tensor:
        """The codes [n, dim] of the batch's samples; where there is no table, new ones."""
        if self.codes is None:
            return self._as_code(self.prior.sample(len(batch), self.device))
        return self.codes(batch.index)

    def _loss(self, batch: Batch, z: Tensor) -> Loss:
        made, real = self.decode(z).float(), batch.real
        squares = (made - real).square().mean()
        total, logs = self.l2 * squares, {"squared_error": squares.detach()}
        if self.lap1:
            distance = lap1(made, real).mean()
            total = total + self.lap1 * distance
            logs["lap1"] = distance.detach()
        return Loss(total, logs)

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Decode standard normals `z` [n, dim] by way of the Gaussian that fits the codes.

        Its mean and full covariance are those of the table (Bojanowski et al. 2018). Where codes
        are not learned it is known without: they are as they were drawn.
        """
        if self.codes is None or self.latents != "learned":
            return self.decode(self._as_code(z))
        if self._fitted is None or not torch.compiler.is_exporting():
            # In an exported file it is a constant, as ONNX computes no eigenvectors.
            self._fitted = self.fitted()
        mean, root = self._fitted
        return self.decode(mean + z @ root.T)

    def fitted(self) -> tuple[Tensor, Tensor]:
        """The mean [dim] of the codes and a root L [dim, dim] of their covariance L L^T."""
        assert self.codes is not None
        table = self.codes.table.detach().cpu().double()  # in this order: MPS has no float64
        mean = table.mean(0)
        covariance = (table - mean).T @ (table - mean) / len(table)
        values, vectors = torch.linalg.eigh(covariance)  # a root also where it is singular
        root = vectors * values.clamp_min(0).sqrt()
        return mean.to(self.codes.table), root.to(self.codes.table)

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        return self.generate(self.prior.sample(n, self.device))

    def reconstruct(self, batch: Batch) -> Tensor | None:
        """Decode the codes of the batch's samples by their indices; drawn ones are random."""
        return self.decode(self._of(batch))

    def averaged(self) -> tuple[nn.Module, ...]:
        return (self.generator,)

    def pictures(self, z: Tensor) -> dict[str, Grid]:
        return grids(self, z)
