"""Out of memory within a step: the batch in more parts, where the model allows it."""

from __future__ import annotations

import gc
import logging

import torch
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from gan_cli.config.schema import Settings
from gan_cli.exits import RunFailedError, out_of_memory
from gan_cli.runs import checkpoint
from gan_cli.runs.folder import RunFolder
from gan_cli.training.accumulation import hindrance
from gan_cli.training.resume import EarlierRun, set_back
from gan_cli.training.setup import Session

log = logging.getLogger(__name__)


def ran_out(failed: RunFailedError) -> bool:
    """Whether a run broke off because there was no memory left."""
    return failed.__cause__ is not None and out_of_memory(failed.__cause__)


def smaller_parts(
    session: Session, run: RunFolder, failed: RunFailedError
) -> tuple[Settings, EarlierRun]:
    """The settings and state from which a run that ran out of memory goes on, if they ask for that.

    `accumulate` is doubled, or more where the batch has no such parts, and the run goes on from its
    last checkpoint: a step that was broken off has changed some of the weights already. Otherwise
    says which settings would need less.

    Args:
        session: that broke off.
        run: its folder, locked.
        failed: why.

    Raises:
        RunFailedError: `failed`, where the run ends here.
    """
    settings, trainer = session.settings, session.trainer
    parts, reason = next_division(session)
    if reason or trainer.whole or settings.runtime.oom == "stop":
        if not trainer.whole and session.ranks.first:
            log.error(advice(settings, parts, reason))
        raise failed
    state = checkpoint.newest_up_to(run.checkpoints, trainer.step)
    begin = 0 if state is None else state["step"]
    log.warning(
        f"runtime.oom = shrink: step {trainer.step + 1:,} had not enough memory; continuing from "
        f"step {begin:,} with accumulate={parts}, parts of {settings.batch_size // parts} samples"
    )
    failed.__cause__ = failed.__context__ = None  # its frames hold the tensors of the step
    gc.collect()
    if session.device.type == "cuda":
        torch.cuda.empty_cache()
    divided = settings.model_copy(update={"accumulate": parts})
    return divided, set_back(run, divided, state)


def next_division(session: Session) -> tuple[int, str]:
    """The next larger number of parts, and why the batch cannot be divided so, or nothing."""
    settings, model = session.settings, session.model
    parts = 2 * settings.accumulate
    if session.ranks.count > 1:
        return parts, "not possible with several ranks"
    if settings.runtime.compile:
        return parts, "not possible with runtime.compile=true"
    if any(isinstance(module, BatchNorm) for module in model.modules()):
        return parts, "batch norm would take its statistics of each part"
    reason = hindrance(model, settings.batch_size, parts)
    for n in range(parts + 1, settings.batch_size + 1) if reason else ():
        if not hindrance(model, settings.batch_size, n):
            return n, ""
    return parts, reason


def advice(settings: Settings, parts: int, reason: str) -> str:
    """What would need less memory than the settings, in words."""
    smaller = f"batch_size={max(1, settings.batch_size // 2)}"
    if not reason:
        return f"runtime.oom=shrink or accumulate={parts} may fit, with equal results; or {smaller}"
    return f"the batch cannot be computed in more parts: {reason}; try {smaller}"
