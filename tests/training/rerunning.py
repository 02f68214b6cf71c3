"""A recorder for the CPU that is as strict as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gan_cli.training.trainer import Trainer


class NoReading(TorchDispatchMode):
    """Within it, no value travels to Python or from it, which would break a recording."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("a value was read from the device while recording")
        if func is torch.ops.aten.lift_fresh.default:
            raise RuntimeError("a tensor was made of Python's numbers while recording")
        return func(*args, **(kwargs or {}))


def held(trainer: Trainer) -> list[Tensor]:
    """Every tensor that outlives a step."""
    states = [p.optimizer.state.values() for p in trainer.players.values()]
    moments = [t for group in states for s in group for t in s.values() if isinstance(t, Tensor)]
    window = trainer.window
    curves = [*window._sums.values(), *window._places.values()]
    return [*trainer.model.state_dict().values(), *moments, *curves]


class Rerun:
    """Records by running and undoing all of it; plays back by running it once more.

    What a playback leaves in Python is thrown away and what it computes is written over what the
    recording had computed, as a graph would.
    """

    def __init__(self, trainer: Trainer, reads: bool = False) -> None:
        self.trainer, self.reads = trainer, reads
        self.captures = 0

    def warm(self, run: Callable[[], None]) -> str:
        run()
        return ""

    @torch.no_grad()
    def capture(self, run: Callable[[], None]) -> Callable[[], None]:
        tensors, stream = held(self.trainer), torch.get_rng_state()
        before = [t.clone() for t in tensors]
        tally = self.trainer.window._tally
        try:
            with torch.enable_grad():
                self._strictly(run)
        finally:
            for tensor, value in zip(tensors, before, strict=True):
                tensor.copy_(value)
            torch.set_rng_state(stream)
        assert [t.data_ptr() for t in held(self.trainer)] == [t.data_ptr() for t in tensors]
        self.captures += 1

        @torch.no_grad()
        def replay() -> None:
            with torch.enable_grad(), self.trainer.window.separate_tally() as again:
                self._strictly(run)
            assert again.counts == tally.counts
            # What a recording has made may be overwritten by another one.
            for old, new in ((tally.outputs, again.outputs), (tally.norms, again.norms)):
                assert all(value is new[name] for name, value in old.items())

        return replay

    def _strictly(self, run: Callable[[], None]) -> None:
        if self.reads:
            run()
            return
        with NoReading():
            run()
