"""What a model needs so that several ranks can train it, and what of it they cannot share."""

from __future__ import annotations

import logging

from torch import nn

from gan_cli.config.schema import Settings
from gan_cli.errors import ConfigError
from gan_cli.model import Model
from gan_cli.ranks.alone import Ranks

log = logging.getLogger(__name__)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def prepare(model: Model, settings: Settings, ranks: Ranks) -> list[str]:
    """Make `model`, on its way to the device, one for `ranks`; lines of warning, also in the log.

    Raises:
        ConfigError: it cannot be, with these settings.
    """
    if ranks.count == 1:
        return []
    ranks.check(settings.batch_size, model.pack)
    if model.indivisible:
        name = type(model).__name__
        raise ConfigError(
            f"model: {name} cannot be trained by {ranks.count} ranks, since {model.indivisible}; "
            "start it without torchrun"
        )
    if settings.runtime.compile:
        raise ConfigError(
            f"runtime.compile = true: {ranks.count} ranks share what their steps draw, which "
            "compiled networks do not see; set runtime.compile=false"
        )
    apart = list(model.whole_batch)
    if settings.runtime.sync_batch_norm:
        from gan_cli.ranks.batchnorm import synchronise

        synchronise(model, ranks)
    elif any(isinstance(module, BATCH_NORMS) for module in model.modules()):
        apart.insert(0, "batch norm (unless runtime.sync_batch_norm=true)")
    if not apart:
        return []
    line = (
        f"{', '.join(apart)}: of the {settings.batch_size // ranks.count} samples of each rank, "
        f"not of all {settings.batch_size}, so {ranks.count} ranks learn a little otherwise than "
        "one would"
    )
    log.warning(line)
    return [line]
