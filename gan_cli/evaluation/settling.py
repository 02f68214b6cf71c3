"""Batch norm where a network looks at another mixture of samples than it was trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def settled(
    model: nn.Module, run: Callable[[Tensor], object], batches: Iterable[Tensor]
) -> Iterator[None]:
    """Within it, batch norm's statistics are those of `batches`; afterwards all is as it was.

    A discriminator sees real and generated samples in turns and each by its own batch's statistics,
    while its running ones are of the mixture, which it never saw: in evaluation mode it reads
    either kind badly. Their own statistics are what it knows from training.

    Args:
        model: in eval mode; layers that `run` does not come to keep their statistics.
        run: the part of the model that is to be settled.
        batches: samples [n, *shape], n at least 2, each weighing the same.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
    layers = [layer for layer in layers if layer.running_mean is not None]
    before = [_state(layer) for layer in layers]
    try:
        for layer in layers:
            layer.track_running_stats = True
            layer.momentum = None  # all batches weigh the same
            layer.reset_running_stats()
            layer.train()
        if layers:
            with torch.no_grad():
                for some in batches:
                    run(some)
        for layer, state in zip(layers, before, strict=True):
            layer.eval()
            if not layer.num_batches_tracked:
                _restore(layer, state)
        yield
    finally:
        for layer, state in zip(layers, before, strict=True):
            _restore(layer, state)


State = tuple[bool, bool, float | None, dict[str, Tensor]]


def _state(layer: _BatchNorm) -> State:
    buffers = {name: value.clone() for name, value in layer.named_buffers()}
    return layer.training, layer.track_running_stats, layer.momentum, buffers


@torch.no_grad()
def _restore(layer: _BatchNorm, state: State) -> None:
    layer.training, layer.track_running_stats, layer.momentum, buffers = state
    for name, value in layer.named_buffers():
        value.copy_(buffers[name])
