"""What every data set is: a table of samples, gathered by index on the trainer's device."""

from __future__ import annotations

import hashlib
from abc import ABC
from functools import cached_property

import torch
from torch import Tensor

from gan_cli.model import DataSpec


class Dataset(ABC):  # noqa: B024 - abstract: sources are its only subclasses
    """Samples in memory (or memory-mapped) and their description.

    Args:
        name: short name, used for the run folder.
        values: uint8 images [N, C, H, W], or float32 points [N, D].
        labels: int64 classes [N], where there are any.
        class_names: one per class.
    """

    def __init__(
        self,
        name: str,
        values: Tensor,
        labels: Tensor | None = None,
        class_names: tuple[str, ...] = (),
    ) -> None:
        self.values, self.targets = values, labels
        self.device = values.device  # where batches are wanted
        self.spec = DataSpec(
            name=name,
            shape=tuple(values.shape[1:]),
            size=len(values),
            classes=len(class_names),
            class_names=class_names,
        )

    def __len__(self) -> int:
        return self.spec.size

    def to(self, device: torch.device | str) -> Dataset:
        """Deliver batches on `device`; the table moves there if it takes at most half the room.

        A larger one stays where it is, and each batch travels on its own.
        """
        self.device = torch.device(device)
        if self.values.nbytes <= _room(self.device) // 2:
            self.values = self.values.to(self.device)
        self.targets = None if self.targets is None else self.targets.to(self.device)
        return self

    @property
    def resident(self) -> bool:
        """Whether the table lies where batches are wanted."""
        return self.values.device.type == self.device.type

    def real(self, index: Tensor) -> Tensor:
        """The samples at `index` [n], as float32 [n, *shape]; images are scaled to [-1, 1]."""
        chosen = self._chosen(index.to(self.values.device))
        return chosen.float().div_(127.5).sub_(1) if chosen.dtype == torch.uint8 else chosen

    def _chosen(self, index: Tensor) -> Tensor:
        if self.resident:
            return self.values.index_select(0, index)
        # From pinned memory the copy runs beside the device's work.
        shape, dtype = (len(index), *self.values.shape[1:]), self.values.dtype
        batch = torch.empty(shape, dtype=dtype, pin_memory=self.device.type == "cuda")
        torch.index_select(self.values, 0, index, out=batch)
        return batch.to(self.device, non_blocking=self.device.type == "cuda")

    def labels(self, index: Tensor) -> Tensor | None:
        """The classes at `index`, int64 [n], or None."""
        return None if self.targets is None else self.targets[index.to(self.targets.device)]

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
        """All that the samples and labels are made of."""
        return [self.values] if self.targets is None else [self.values, self.targets]


def _room(device: torch.device) -> int:
    """Bytes that are free on `device`; no bound on the CPU, where tables already are."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return 1 << 62
