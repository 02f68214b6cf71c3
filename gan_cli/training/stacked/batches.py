"""The batches of all members, gathered at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gan_cli.model import Batch
from gan_cli.training.session import Session
from gan_cli.training.stacked.inside import Given


class Batches:
    """Batch k of every member.

    Args:
        sessions: of the members, which share a data set.
    """

    def __init__(self, sessions: Sequence[Session]) -> None:
        self._streams = [session.stream for session in sessions]
        self._dataset = sessions[0].dataset

    def take(self, k: int, step: int) -> Given:
        """Batch `k` of every member, [members, batch, ...], for `step`."""
        batches = [stream.batch(k) for stream in self._streams]
        index = torch.stack([batch.index for batch in batches])
        if self._dataset.resident:
            flat = self._dataset.real(index.flatten())
            real = flat.view(*index.shape, *flat.shape[1:])
        else:  # what is not on the device is gathered by each stream in its own way
            real = torch.stack([batch.real for batch in batches])
        labels = self._dataset.labels(index.flatten())
        return Given(index, real, None if labels is None else labels.view_as(index), {}, step)

    def one(self, given: Given, member: int) -> Batch:
        """A member's own batch."""

        def row(table: Tensor | None) -> Tensor | None:
            return None if table is None else table[member]

        real = given.real
        assert real is not None, "batches are taken with their samples"
        batch = Batch(given.index[member], lambda _: real[member], lambda _: row(given.labels))
        batch.step = given.step
        batch.kept = {name: value[member] for name, value in given.kept.items()}
        return batch
