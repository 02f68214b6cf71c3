"""Scalars gathered on the device between two points of the curves, read all at once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gan_cli.model import Loss


def precise(device: torch.device) -> torch.dtype:
    """The widest floating-point type of a device; MPS has no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


class Window:
    """Running sums of what phases report. Adding costs two small kernels and no device read."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, ...], Tensor] = {}
        self._counts: dict[tuple[str, ...], int] = {}
        self.outputs: dict[str, Tensor] = {}

    def add(self, phase: str, loss: Loss) -> None:
        """Take in one update of a phase."""
        names = (f"loss/{phase}", *loss.logs)
        values = torch.stack([loss.total.detach(), *(v.detach() for v in loss.logs.values())])
        if names in self._sums:
            self._sums[names] += values
            self._counts[names] += 1
        else:
            self._sums[names], self._counts[names] = values.to(precise(values.device)), 1
        self.outputs.update({name: vector.detach() for name, vector in loss.outputs.items()})

    def means(self) -> dict[str, float]:
        """The mean of each scalar since the last `clear`; reads the device."""
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        for names, values in self._sums.items():
            for name, value in zip(names, values.tolist(), strict=True):
                sums[name] = sums.get(name, 0.0) + value
                counts[name] = counts.get(name, 0) + self._counts[names]
        return {name: value / counts[name] for name, value in sums.items()}

    def clear(self) -> None:
        """Begin the next stretch of the curves."""
        self._sums, self._counts, self.outputs = {}, {}, {}

    def state_dict(self) -> dict[str, dict[str, Tensor | int]]:
        """What a resumed run needs so that its next point is the same."""
        return {
            "\n".join(names): {"sum": values, "count": self._counts[names]}
            for names, values in self._sums.items()
        }

    def load_state_dict(
        self, state: Mapping[str, Mapping[str, Tensor | int]], device: torch.device
    ) -> None:
        """Go on from `state_dict`."""
        self.clear()
        for text, entry in state.items():
            names = tuple(text.split("\n"))
            self._sums[names] = torch.as_tensor(entry["sum"]).to(precise(device)).to(device)
            self._counts[names] = int(entry["count"])
