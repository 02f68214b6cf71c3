"""What `gan-train` would train with some overrides, without a run folder."""

from __future__ import annotations

from functools import cache

from gan_cli.config.groups import CONF
from gan_cli.config.instantiate import Trust
from gan_cli.config.schema import Settings
from gan_cli.config.settings import settings_of
from gan_cli.training.setup import Session, assemble

SMALL = ["batch_size=8", "network.width=8", "runtime.device=cpu", "runtime.threads=1"]
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
# Models of points only, with densities that their integrals can resolve.
OF_POINTS = {"divergence": ("data.deviation=0.3", "data.points=100")}


def little(model: str) -> tuple[str, ...]:
    """A model on a few samples of data that it is for."""
    return (f"model={model}", *OF_POINTS.get(model, ("data.split=test",)))


@cache
def small_settings(*overrides: str) -> Settings:
    """The settings of these overrides with small networks, composed once."""
    return settings_of(*SMALL, *overrides)


def session_of(*overrides: str) -> Session:
    """All that these overrides would build, with small networks."""
    return assemble(small_settings(*overrides), Trust())
