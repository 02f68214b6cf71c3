"""What `gan-train` with some overrides would train, without a run folder."""

from __future__ import annotations

from gan_cli.config.build import Trust
from gan_cli.config.composing import settings_of
from gan_cli.training.session import Session, assemble

SMALL = ["batch_size=8", "network.width=8", "runtime.device=cpu", "runtime.threads=1"]


def session_of(*overrides: str) -> Session:
    """All that these overrides would build, with small networks."""
    return assemble(settings_of(*SMALL, *overrides), Trust())
