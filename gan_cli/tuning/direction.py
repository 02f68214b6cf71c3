"""Which way a figure is better."""

from __future__ import annotations

import re

from gan_cli.errors import ConfigError

EVALUATED = "metrics/"  # what evaluations find; the rest are curves of the training
MINIMIZE, MAXIMIZE = "minimize", "maximize"
HIGHER = re.compile(
    r"metrics/((precision|recall|density|coverage|score)_\w+|gan_test|gan_train\w*|information\w*"
    r"|\w+_(accuracy|nmi|correlation)|modes_captured|high_quality_share|stacked_modes)"
)


def direction_of(metric: str, asked: str) -> str:
    """`asked`, or for "auto" what is known of figures; a run later tells whether that is right.

    Raises:
        ConfigError: of a curve of the training nothing is known.
    """
    if asked != "auto":
        return asked
    if not metric.startswith(EVALUATED):
        raise ConfigError(
            f"tune.direction: must be minimize or maximize for tune.metric = {metric}, which is no "
            f"figure of an evaluation, such as {EVALUATED}fid_classifier"
        )
    return MAXIMIZE if HIGHER.fullmatch(metric) else MINIMIZE
