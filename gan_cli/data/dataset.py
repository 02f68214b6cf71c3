"""The base of all data sets: a table of samples, gathered by index on the trainer's device."""

from __future__ import annotations

import hashlib
import inspect
import math
import os
import weakref
from abc import ABC
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_cli.device import total_memory
from gan_cli.errors import DataError
from gan_cli.model import DataSpec


class Rows:
    """A file that holds the rows of a table of bytes [N, *shape], read by index.

    Args:
        path: the file.
        shape: of a row.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path, self.bytes_each = path, math.prod(shape)
        try:
            self._file = os.open(path, os.O_RDONLY)
        except OSError as cause:
            raise DataError(f"{path}: cannot be read: {cause.strerror or cause}") from cause
        weakref.finalize(self, os.close, self._file)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_RANDOM)

    def read(self, index: Tensor, out: Tensor) -> None:
        """Fill `out`, uint8 [n, *shape] on the CPU, with the rows at `index` [n].

        Raises:
            DataError: the file is too short, or cannot be read.
        """
        size, view = self.bytes_each, out.numpy().data.cast("B")
        for position, row in enumerate(index.tolist()):
            target = view[position * size : (position + 1) * size]
            try:
                got = os.preadv(self._file, [target], row * size)
            except OSError as cause:
                raise DataError(
                    f"{self.path}: row {row:,} cannot be read: {cause.strerror or cause}"
                ) from cause
            if got != size:
                raise DataError(
                    f"{self.path}: ends before row {row:,}: it was truncated while in use; "
                    "remove its folder and start again to rebuild it"
                )


class Dataset(ABC):  # noqa: B024 - abstract: sources are its only subclasses
    """Samples in memory (or memory-mapped) and their description.

    Args:
        name: short name, used for the run folder.
        values: uint8 images [N, C, H, W], or float32 points [N, D].
        labels: int64 classes [N], where there are any.
        class_names: one per class.
        rows: of `values`, where these are mapped from a file; batches are then read from it.

    Where `flips`, an index from `spec.size` on means a sample mirrored left to right: size + i is
    the mirror image of i. Only batches of training hold such indices.
    """

    flips: bool = False
    dequantise: bool = False  # whether training adds uniform noise to the 256 levels of images

    def __init__(
        self,
        name: str,
        values: Tensor,
        labels: Tensor | None = None,
        class_names: tuple[str, ...] = (),
        rows: Rows | None = None,
    ) -> None:
        self.values, self.targets, self.rows = values, labels, rows
        self.device = values.device  # of the batches
        classes, counts = len(class_names), ()
        if labels is not None and classes and len(labels):
            counts = tuple(labels.bincount(minlength=classes).tolist())
        self.spec = DataSpec(
            name=name,
            shape=tuple(values.shape[1:]),
            size=len(values),
            classes=classes,
            class_names=class_names,
            class_counts=counts,
        )

    @classmethod
    def comes_in_parts(cls, settings: Mapping[str, Any]) -> bool:
        """Whether the data that `settings` describe have a part for testing."""
        return "split" in inspect.signature(cls).parameters

    def __len__(self) -> int:
        return self.spec.size

    def to(self, device: torch.device | str) -> Dataset:
        """Deliver batches on `device`; the table moves there if it takes at most half the room.

        A larger table stays where it is, and each batch is copied by itself.
        """
        self.device = torch.device(device)
        # On the CPU a mapped table stays on the disk: its size has no bound.
        mapped = self.rows is not None and self.device.type == "cpu"
        if not mapped and self.values.nbytes <= _room(self.device) // 2:
            self.values, self.rows = self.values.to(self.device), None
        self.targets = None if self.targets is None else self.targets.to(self.device)
        return self

    @property
    def resident(self) -> bool:
        """Whether the table is in the memory of the batches' device."""
        return self.rows is None and self.values.device.type == self.device.type

    @property
    def distant(self) -> bool:
        """Whether to fetch batches ahead: they come from the host's memory, or from a disk.

        A mapped table of at most half of the machine's memory stays in the system's cache, and
        reading from there takes less time than passing a batch between threads.
        """
        if type(self)._chosen is not Dataset._chosen or self.resident:
            return False
        return self.device.type != "cpu" or self.values.nbytes > total_memory() // 2

    def real(self, index: Tensor) -> Tensor:
        """The samples at `index` [n], as float32 [n, *shape]; images are scaled to [-1, 1]."""
        index = index.to(self.values.device)
        return self.mirrored(scaled(self._chosen(self.rows_at(index))), index)

    def rows_at(self, index: Tensor) -> Tensor:
        """The rows of the table at `index`."""
        return index % self.spec.size if self.flips else index

    def mirrored(self, samples: Tensor, index: Tensor) -> Tensor:
        """Mirror those of `samples` whose `index` says so."""
        if not self.flips:
            return samples
        chosen = (index >= self.spec.size).to(samples.device)
        return torch.where(chosen.view(-1, 1, 1, 1), samples.flip(-1), samples)

    def dequantised(self, samples: Tensor) -> Tensor:
        """Images in [-1, 1] with uniform noise: (level + u) / 128 - 1 with u from U[0, 1).

        So each level v of 0 ... 255 fills a cell of [-1, 1), as in Miyato et al.'s code.
        """
        return ((samples + 1) * 127.5 + torch.rand_like(samples)) / 128 - 1

    def _chosen(self, index: Tensor) -> Tensor:
        if self.resident:
            return self.values.index_select(0, index)
        # From pinned memory the copy overlaps with the device's work.
        cuda = self.device.type == "cuda"
        batch = torch.empty(self.shape_of(index), dtype=self.values.dtype, pin_memory=cuda)
        self.fetch(index, batch)
        return batch.to(self.device, non_blocking=cuda)

    def fetch(self, index: Tensor, out: Tensor) -> None:
        """Copy the rows at `index` of a table on the host into `out`, as stored."""
        if self.rows is None:
            torch.index_select(self.values, 0, index, out=out)
        else:
            self.rows.read(index, out)

    def shape_of(self, index: Tensor) -> tuple[int, ...]:
        """The shape of the rows at `index`."""
        return (len(index), *self.values.shape[1:])

    def labels(self, index: Tensor) -> Tensor | None:
        """The classes at `index`, int64 [n], or None."""
        if self.targets is None:
            return None
        return self.targets[self.rows_at(index.to(self.targets.device))]

    def source(self, index: Tensor) -> Tensor:
        """The inputs beside the samples at `index` [n], [n, *spec.source], scaled as these are.

        Raises:
            ValueError: this data has none; see `gan_cli.data.pairs`.
        """
        raise ValueError(f"{self.spec.name} has no inputs beside its samples")

    def log_density(self, x: Tensor) -> Tensor | None:
        """log p(x) [n] where the true density is known (toy data), else None."""
        return None

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 of the samples, their labels and their description, as hexadecimal text."""
        digest = hashlib.sha256(repr(self.spec).encode())
        for table in self._tables():
            digest.update(table.cpu().contiguous().numpy().data)
        return digest.hexdigest()

    def _tables(self) -> list[Tensor]:
        """The tensors that determine samples and labels."""
        return [self.values] if self.targets is None else [self.values, self.targets]


def scaled(samples: Tensor) -> Tensor:
    """Scale stored images, uint8, to float32 in [-1, 1]; points stay as they are."""
    return samples.float().div_(127.5).sub_(1) if samples.dtype == torch.uint8 else samples


def _room(device: torch.device) -> int:
    """Free bytes on `device`; unbounded on the CPU, where tables already are."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return 1 << 62
