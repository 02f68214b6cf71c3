"""What `gan-train` would train with some overrides, without a run folder."""

from __future__ import annotations

from functools import cache

from gan_cli.config.groups import CONF
from gan_cli.config.instantiate import Trust
from gan_cli.config.schema import Settings
from gan_cli.config.settings import settings_of
from gan_cli.training.setup import Session, assemble

SMALL = [
    "batch_size=8",
    "network.width=8",
    "runtime.device=cpu",
    "runtime.precision=fp32",
    "runtime.threads=1",
]
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
# Models of points only, with densities that their integrals can resolve.
OF_POINTS = {"divergence": ("data.deviation=0.3", "data.points=100")}
STEPWISE = {  # phases whose loss reads the run's step, so no CUDA graph can replay them
    "mixture": {"mixture"},  # the share of a batch in EM's moments falls with the steps
    "gap": {"discriminator", "generator"},  # who meets whom depends on the step
}

NARROW = ("network.discriminator_width=8",)  # translators, beside their own width
CHEAP = {  # what costs time and proves nothing
    "context_encoder": NARROW,
    "cyclegan": (*NARROW, "network.blocks=1"),
    "discogan": NARROW,
    "dualgan": (*NARROW, "model.d_steps=1"),
    "mmd_gan": ("model.d_steps=1",),
    "pix2pix": NARROW,
    "seqgan": ("model.rollouts=1", "data.length=6", "network.filters=[[1,8],[2,8]]"),
    "srgan": (*NARROW, "network.blocks=1"),
    "stylegan2": ("network.mapping=1", "network.most=16", "penalty.every=2"),
    "text_wgan": ("network.blocks=1", "model.d_steps=1"),
}


def little(model: str) -> tuple[str, ...]:
    """A model on a few samples of data that it is for."""
    return (f"model={model}", *OF_POINTS.get(model, ("data.split=test",)), *CHEAP.get(model, ()))


@cache
def small_settings(*overrides: str) -> Settings:
    """The settings of these overrides with small networks, composed once."""
    return settings_of(*SMALL, *overrides)


def session_of(*overrides: str) -> Session:
    """All that these overrides would build, with small networks."""
    return assemble(small_settings(*overrides), Trust())
