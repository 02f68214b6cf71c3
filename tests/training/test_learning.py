"""Learning where the truth is known."""

from __future__ import annotations

import pytest
import torch

from gan_cli.config.instantiate import Trust
from gan_cli.config.schema import Settings
from gan_cli.config.settings import settings_of
from gan_cli.training.setup import Session, assemble


def trained(settings: Settings, forget_at: int = -1) -> Session:
    """Train to the end; the window forgets what came before step `forget_at`."""
    session = assemble(settings, Trust())
    while session.trainer.step < session.total:
        session.trainer.advance()
        if session.trainer.step == forget_at:
            session.trainer.window.clear()
    return session


PRESETS = ["gaussian_1d", "gaussian_1d_wgan_gp", "gaussian_1d_gan"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("preset", PRESETS)
def test_from_a_standard_normal_to_another(preset: str, seed: int) -> None:
    """Mean and deviation of 100,000 samples lie within .1 of N(4, .5).

    The standard errors, .0016 and .0011, are nothing beside that.
    """
    settings = settings_of(
        f"experiment={preset}", f"seed={seed}", "runtime.device=cpu", "runtime.threads=1"
    )
    session = trained(settings)
    with session.trainer.sampling() as sampler:
        torch.manual_seed(0)
        samples = sampler.sample(100_000)
    assert samples.mean().item() == pytest.approx(4.0, abs=0.1)
    assert samples.std().item() == pytest.approx(0.5, abs=0.1)


@pytest.mark.slow
def test_a_conditional_gan_learns_which_class_is_where() -> None:
    """On the ring each class is one mode, .77 from its neighbours: samples go to their own."""
    settings = settings_of(
        "model=cgan",
        "data=ring",
        "network=mlp",
        "network.width=64",
        "prior.dim=2",
        "batch_size=128",
        "steps=800",
        "optimizer.lr=1e-3",
        "optimizer.schedule=linear",
        "runtime.device=cpu",
        "runtime.threads=1",
    )
    session = trained(settings)
    modes = torch.as_tensor(session.dataset.modes)  # type: ignore[attr-defined]
    y = torch.arange(8).repeat_interleave(100)
    with session.trainer.sampling() as sampler:
        samples = sampler.sample(len(y), y)
    nearest = torch.cdist(samples, modes.to(samples)).argmin(1)
    assert (nearest == y).float().mean().item() > 0.99
    assert (samples - modes.to(samples)[y]).norm(dim=1).mean().item() < 0.1


@pytest.mark.slow
@pytest.mark.parametrize(("weight", "least", "most"), [(1.0, 1.5, 2.31), (0.0, -0.1, 0.1)])
def test_the_information_term_makes_the_category_legible(
    weight: float, least: float, most: float
) -> None:
    """Of ln 10 = 2.30 nats most are reached within 150 steps with the term, and none without."""
    settings = settings_of(
        "model=infogan",
        "data.split=test",
        "network.width=16",
        "prior.dim=16",
        "steps=150",
        f"model.information={weight}",
        "log_every=1000",
        "runtime.device=cpu",
        "runtime.threads=1",
    )
    session = trained(settings, forget_at=130)
    bound = session.trainer.window.means()["information/categorical"]
    assert least < bound < most
