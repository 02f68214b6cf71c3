"""Running means of scalars between two points of the curves, kept on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gan_cli.model import Loss


def precise(device: torch.device) -> torch.dtype:
    """The widest floating-point type of a device; MPS has no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


@dataclass
class Tally:
    """The part of the running means that is kept in Python: counts, outputs and norms."""

    counts: dict[tuple[str, ...], int] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)  # of the last update
    norms: dict[str, Tensor] = field(default_factory=dict)  # of gradients, where measured

    def add(self, other: Tally) -> None:
        """Add those of further updates."""
        for names, count in other.counts.items():
            self.counts[names] = self.counts.get(names, 0) + count
        self.outputs.update(other.outputs)
        self.norms.update(other.norms)


class RunningMeans:
    """Running sums of the scalars of phases.

    Adding costs two small kernels, a copy of each output and norm, and no device read.

    Sums, outputs and norms keep their place in memory, so that recorded updates can write there:
    what is made within a recording may be overwritten by the next one that is replayed.
    """

    def __init__(self) -> None:
        self._sums: dict[tuple[str, ...], Tensor] = {}
        self._places: dict[tuple[str, torch.Size], Tensor] = {}  # of outputs and norms
        self._tally = Tally()

    @property
    def outputs(self) -> dict[str, Tensor]:
        """Vectors of the last update whose distribution is plotted."""
        return self._tally.outputs

    @property
    def norms(self) -> dict[str, Tensor]:
        """Norms of gradients, by their curve's name."""
        return self._tally.norms

    def add(self, phase: str, loss: Loss, norms: Mapping[str, Tensor] | None = None) -> None:
        """Add one update of a phase."""
        names = (f"loss/{phase}", *loss.logs)
        values = torch.stack([loss.total.detach(), *(v.detach() for v in loss.logs.values())])
        if names not in self._sums:
            self._sums[names] = torch.zeros_like(values, dtype=precise(values.device))
        self._sums[names] += values
        self._tally.add(Tally({names: 1}, self._kept(loss.outputs), self._kept(norms or {})))

    def _kept(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The values, at the places of those that had their names before."""
        kept = {}
        for name, value in values.items():
            key = (name, value.shape)
            if key not in self._places:
                self._places[key] = torch.empty_like(value, requires_grad=False)
            kept[name] = self._places[key].copy_(value.detach())
        return kept

    @contextmanager
    def separate_tally(self) -> Iterator[Tally]:
        """Within it, counts, outputs and norms go to a separate tally."""
        before, self._tally = self._tally, Tally()
        try:
            yield self._tally
        finally:
            self._tally = before

    def merge(self, tally: Tally) -> None:
        """Add a separate tally; the sums have their part already."""
        self._tally.add(tally)

    def means(self) -> dict[str, float]:
        """The mean of each scalar since the last `clear`; reads the device."""
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        for names, count in self._tally.counts.items():
            for name, value in zip(names, self._sums[names].tolist(), strict=True):
                sums[name] = sums.get(name, 0.0) + value
                counts[name] = counts.get(name, 0) + count
        return {name: value / counts[name] for name, value in sums.items()}

    def average(self, mean: Callable[[Sequence[Tensor]], None]) -> None:
        """Have `mean` replace the sums by their means over several devices."""
        mean(list(self._sums.values()))

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Restore the sums afterwards; within it they may be averaged."""
        before = {names: values.clone() for names, values in self._sums.items()}
        yield
        for names, values in before.items():
            self._sums[names].copy_(values)

    def clear(self) -> None:
        """Start the next window of the curves."""
        for values in self._sums.values():
            values.zero_()
        self._tally = Tally()

    def state_dict(self) -> dict[str, dict[str, Tensor | int]]:
        """The state that a resumed run needs for an equal next point."""
        return {
            "\n".join(names): {"sum": self._sums[names], "count": count}
            for names, count in self._tally.counts.items()
        }

    def load_state_dict(
        self, state: Mapping[str, Mapping[str, Tensor | int]], device: torch.device
    ) -> None:
        """Resume from `state_dict`."""
        self._sums, self._tally = {}, Tally()
        for text, entry in state.items():
            names = tuple(text.split("\n"))
            total = torch.as_tensor(entry["sum"]).to(precise(device)).to(device, copy=True)
            self._sums[names], self._tally.counts[names] = total, int(entry["count"])
