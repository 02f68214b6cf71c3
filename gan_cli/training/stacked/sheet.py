"""The windows of all members, summed together and read together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gan_cli.model import Loss
from gan_cli.training.window import Window, precise

CPU = torch.device("cpu")
State = dict[str, dict[str, Any]]  # a window's


class Sheet:
    """Running sums of what phases report, one row for each member.

    All members clear their rows between the same two steps.

    Args:
        windows: those of the members so far, which have summed the same names.
    """

    def __init__(self, windows: Sequence[Window]) -> None:
        self.rows = [Row(self, place) for place in range(len(windows))]
        self.clear()
        states: list[State] = [dict(window.state_dict()) for window in windows]
        for text, entry in states[0].items():
            self._sums[text] = torch.stack([state[text]["sum"] for state in states])
            self._counts[text] = entry["count"]
        for name in windows[0].outputs:
            self.outputs[name] = torch.stack([window.outputs[name] for window in windows])

    def add(self, phase: str, loss: Loss, norms: Mapping[str, Tensor]) -> None:
        """Take in one update of a phase; its scalars and the norms are [members]."""
        if self.rows[0].cleared:
            assert all(row.cleared for row in self.rows), "members log at the same steps"
            self.clear()
        text = "\n".join((f"loss/{phase}", *loss.logs))
        values = torch.stack([loss.total.detach(), *(v.detach() for v in loss.logs.values())], 1)
        if text in self._sums:
            self._sums[text] += values
            self._counts[text] += 1
        else:
            self._sums[text], self._counts[text] = values.to(precise(values.device)), 1
        self.outputs.update({name: table.detach() for name, table in loss.outputs.items()})
        self.norms.update(norms)
        self._read = None

    def clear(self) -> None:
        """Begin the next stretch of the curves."""
        self._sums: dict[str, Tensor] = {}  # [members, scalars], by their names
        self._counts: dict[str, int] = {}
        self.outputs: dict[str, Tensor] = {}
        self.norms: dict[str, Tensor] = {}
        self._read: dict[str, Tensor] | None = None
        for row in self.rows:
            row.cleared = False

    def state(self, place: int, on_cpu: bool = False) -> State:
        """A member's sums; those on the CPU are read once for all members."""
        if on_cpu and self._read is None:
            self._read = {text: values.to(CPU) for text, values in self._sums.items()}
        sums = self._read if on_cpu and self._read is not None else self._sums
        return {
            text: {"sum": values[place].clone(), "count": self._counts[text]}
            for text, values in sums.items()
        }


class Row(Window):
    """A member's window, which is a row of the sheet."""

    def __init__(self, sheet: Sheet, place: int) -> None:
        super().__init__()
        self._sheet, self._place = sheet, place
        self.cleared = False

    @property
    def outputs(self) -> dict[str, Tensor]:
        return self._mine(self._sheet.outputs)

    @property
    def norms(self) -> dict[str, Tensor]:
        return self._mine(self._sheet.norms)

    def _mine(self, tables: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {} if self.cleared else {name: t[self._place] for name, t in tables.items()}

    def means(self) -> dict[str, float]:
        window = Window()
        window.load_state_dict(self._state(on_cpu=True), CPU)
        return window.means()

    def clear(self) -> None:
        self.cleared = True

    def state_dict(self) -> State:
        return self._state()

    def _state(self, on_cpu: bool = False) -> State:
        return {} if self.cleared else self._sheet.state(self._place, on_cpu)

    def plain(self, device: torch.device) -> Window:
        """A window of its own, with the same sums."""
        window = Window()
        window.load_state_dict(self.state_dict(), device)
        return window
