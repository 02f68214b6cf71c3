"""Gradient accumulation: the batch of an update in parts, one after the other, to save memory.

The gradients of the parts are averaged, and their random numbers are cut from those of the whole
batch, so an update is that of the whole batch up to rounding. Only batch norm is not: each part
has statistics of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from gan_cli.config.schema import Settings
from gan_cli.distributed.random import SharedDraws
from gan_cli.distributed.ranks import Ranks
from gan_cli.errors import ConfigError
from gan_cli.model import Batch, Loss, Model

log = logging.getLogger(__name__)


def hindrance(model: Model, batch_size: int, parts: int) -> str:
    """Why batches of `batch_size` cannot be computed in `parts`; empty where they can.

    Args:
        model: that learns from them.
        batch_size: samples of a batch, on one device.
        parts: micro-batches of each.
    """
    if parts == 1:
        return ""
    name = type(model).__name__
    if model.indivisible:
        return f"{name} needs its batches whole, since {model.indivisible}"
    if model.whole_batch:
        return f"needs whole batches: {', '.join(model.whole_batch)}"
    if any(phase.solved for phase in model.phases()):
        return f"{name} is solved for a whole batch, without gradients"

    def fits(n: int) -> bool:
        return not batch_size % (n * model.pack) and batch_size // n >= model.smallest_batch

    if fits(parts):
        return ""
    nearest = max(n for n in range(1, parts) if n == 1 or fits(n))
    packs = f" in packs of {model.pack}" if model.pack > 1 else ""
    least = f" of at least {model.smallest_batch}" if model.smallest_batch > 1 else ""
    return (
        f"{batch_size} samples{packs} cannot be divided into {parts} equal parts{least}; "
        f"set accumulate={nearest}, or another batch_size"
    )


def prepare_accumulation(model: Model, settings: Settings, ranks: Ranks) -> list[str]:
    """Check `accumulate`; returns the warnings that were logged.

    Raises:
        ConfigError: the model or the batch cannot be divided.
    """
    parts, own = settings.accumulate, settings.batch_size // ranks.count
    if parts == 1:
        return []
    if reason := hindrance(model, own, parts):
        raise ConfigError(f"accumulate = {parts}: {reason}")
    if settings.runtime.compile:
        raise ConfigError(
            f"accumulate = {parts}: compiled networks do not see that parts of a batch share its "
            "random numbers; set runtime.compile=false or accumulate=1"
        )
    if not any(isinstance(module, BatchNorm) for module in model.modules()):
        return []
    line = (
        f"accumulate = {parts}: batch norm takes its statistics of the {own // parts} samples of "
        f"each part, not of all {own}"
    )
    log.warning(line)
    return [line]


def in_parts(model: Model, batch: Batch, parts: int, play: Callable[[Batch], Loss]) -> Loss:
    """Call `play` for each of the `parts` of `batch`; returns the whole batch's loss, detached.

    Every part begins with the random streams and the buffers of the model that the batch begins
    with. Afterwards floating-point buffers, such as the running means of batch norm, are the means
    of what the parts left, which are those of the whole batch where they are linear in its samples.
    Modules that keep samples (`holds_samples`) take in one part after the other.

    Args:
        model: that learns.
        batch: of an update.
        parts: number of micro-batches, a divisor of the batch's size.
        play: computes the loss of one, and adds to the gradients.
    """
    streams = RandomStreams(batch.index.device)
    buffers = list(_buffers(model))
    begin = [buffer.clone() for buffer in buffers]
    sums = [torch.zeros_like(buffer) for buffer in buffers]
    own = len(batch) // parts
    draws = shared_draws(parts, model.rows(own))
    losses = []
    for place, part in enumerate(batch.parts(parts)):
        if place:
            streams.rewind()
            for buffer, value in zip(buffers, begin, strict=True):
                buffer.data.copy_(value)  # also one that a graph of the last part has saved
        draws.rank = place
        with draws:
            loss = play(part)
        logs = {name: value.detach() for name, value in loss.logs.items()}
        outputs = {name: value.detach() for name, value in loss.outputs.items()}
        losses.append(Loss(loss.total.detach(), logs, outputs))
        for total, buffer in zip(sums, buffers, strict=True):
            total.add_(buffer)
    for total, buffer in zip(sums, buffers, strict=True):
        if buffer.is_floating_point():
            buffer.data.copy_(total / parts)
    return merged(losses)


@cache
def shared_draws(parts: int, sizes: frozenset[int]) -> SharedDraws:
    """The one for so many parts, which says once what it cannot divide."""
    return SharedDraws(0, parts, sizes)


def merged(losses: Sequence[Loss]) -> Loss:
    """The mean of equally large parts' losses and scalars, with the outputs of all."""
    first = losses[0]
    logs = {name: _mean([loss.logs[name] for loss in losses]) for name in first.logs}
    outputs = {name: torch.cat([loss.outputs[name] for loss in losses]) for name in first.outputs}
    return Loss(_mean([loss.total for loss in losses]), logs, outputs)


def _mean(values: Sequence[Tensor]) -> Tensor:
    return torch.stack([value.float() for value in values]).mean()


def _buffers(model: nn.Module) -> list[Tensor]:
    kept = {
        id(buffer)
        for module in model.modules()
        if getattr(module, "holds_samples", False)
        for buffer in module.buffers()
    }
    return [buffer for buffer in model.buffers() if id(buffer) not in kept]


class RandomStreams:
    """The state of torch's random streams of the CPU and of `device`, to return to."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._own = device, torch.get_rng_state()
        if device.type == "cuda":
            self._other = torch.cuda.get_rng_state(device)
        elif device.type == "mps":
            self._other = torch.mps.get_rng_state()

    def rewind(self) -> None:
        """Return to it."""
        torch.set_rng_state(self._own)
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(self._other, self._device)
        elif self._device.type == "mps":
            torch.mps.set_rng_state(self._other)
