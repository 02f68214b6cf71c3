"""Spectral normalisation of the discriminator (Miyato et al. 2018)."""

from __future__ import annotations

import copy

import pytest
import torch
from composing import session_of
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm

from gan_cli.model import DataSpec, Scores
from gan_cli.networks.dcgan import DCGAN
from gan_cli.networks.family import NetworkFamily
from gan_cli.networks.infogan import InfoGANNetworks
from gan_cli.networks.mlp import MLP
from gan_cli.penalties import R1, GradientPenalty
from gan_cli.training.setup import Session

IMAGES = DataSpec("test", (1, 16, 16), 10, 3, ("a", "b", "c"))
FAMILIES: dict[str, NetworkFamily] = {
    "dcgan": DCGAN(4, discriminator_norm="none", spectral_norm=True),
    "infogan": InfoGANNetworks(4, discriminator_norm="none", spectral_norm=True),
    "mlp": MLP(8, spectral_norm=True),
}
SPECTRAL = ("network.spectral_norm=true", "data.split=test")


def weights(network: nn.Module) -> list[Tensor]:
    """The weights that layers compute with, each as a matrix."""
    return [
        layer.weight.flatten(1)
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    ]


def vectors(network: nn.Module) -> dict[str, Tensor]:
    """The singular vectors."""
    return {
        name: value.clone()
        for name, value in network.named_buffers()
        if name.endswith(("._u", "._v"))
    }


@pytest.mark.parametrize("name", FAMILIES)
def test_largest_singular_values_are_1(name: str) -> None:
    torch.manual_seed(0)
    network = FAMILIES[name].discriminator(IMAGES)
    for _ in range(60):
        network(torch.randn(2, 1, 16, 16))
    network.eval()
    for weight in weights(network):
        assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1, abs=5e-3)
    assert len(vectors(network)) == 2 * len(weights(network))
    assert FAMILIES[name].lipschitz


def test_a_perceptron_s_slope_is_at_most_1() -> None:
    torch.manual_seed(0)
    network = MLP(8, spectral_norm=True).discriminator(DataSpec("points", (2,), 10)).eval()
    a, b = torch.randn(2, 50, 2)
    slopes = (network(a) - network(b)).abs() / (a - b).norm(dim=1)
    assert slopes.max() <= 1 + 1e-3


@pytest.mark.parametrize("name", FAMILIES)
def test_evaluation_does_not_iterate(name: str) -> None:
    network = FAMILIES[name].discriminator(IMAGES)
    x = torch.randn(2, 1, 16, 16)
    before = vectors(network)
    network(x)
    trained = vectors(network)
    assert any(not torch.equal(before[key], trained[key]) for key in before)
    network.eval()
    first, second = network(x), network(x)
    assert torch.equal(first, second)
    assert all(torch.equal(value, trained[key]) for key, value in vectors(network).items())


def test_initial_weights_are_the_papers() -> None:
    """Those that are normalised, not the result."""
    torch.manual_seed(0)
    network = DCGAN(16, discriminator_norm="none", spectral_norm=True).discriminator(IMAGES)
    originals = [p for name, p in network.named_parameters() if name.endswith("original")]
    assert len(originals) == 3
    for weight in originals[:-1]:
        assert weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_the_label_bias_is_left_alone_and_the_projection_is_not() -> None:
    bias = DCGAN(4, spectral_norm=True).discriminator(IMAGES, 3)
    assert "label.table.weight" in bias.state_dict()
    projection = DCGAN(4, spectral_norm=True, conditioning="projection").discriminator(IMAGES, 3)
    assert "projection.parametrizations.weight.original" in projection.state_dict()


@pytest.mark.parametrize("penalty", [GradientPenalty(), R1()], ids=["gradient_penalty", "r1"])
def test_a_penalty_s_gradient_reaches_the_weights(penalty: GradientPenalty | R1) -> None:
    network = FAMILIES["dcgan"].discriminator(IMAGES)
    real, fake = torch.randn(2, 2, 1, 16, 16)
    penalty(network, real, fake).backward()
    gradients = [p.grad for n, p in network.named_parameters() if n.endswith("original")]
    assert all(g is not None and g.isfinite().all() and g.any() for g in gradients)


@pytest.mark.parametrize("model", ["dcgan", "cgan", "wgan_gp", "infogan"])
def test_only_phases_that_train_the_discriminator_move_its_vectors(model: str) -> None:
    session = session_of(f"model={model}", *SPECTRAL)
    trainer = session.trainer
    trainer.advance()
    discriminator = session.model.get_submodule("discriminator")
    for phase, focus in zip(trainer._phases, trainer._focus, strict=True):
        before = vectors(discriminator)
        focus.apply()
        trainer._update(phase, session.stream.batch(3), measure=False)
        after = vectors(discriminator)
        trained = any(module is discriminator for module in phase.trains)
        assert trained is not all(torch.equal(after[key], before[key]) for key in before)


def advance(session: Session, steps: int) -> dict:
    for _ in range(steps):
        session.trainer.advance()
    return copy.deepcopy(session.trainer.state_dict()["model"])


def test_resuming_is_exact() -> None:
    overrides = ("model=dcgan", "network=dcgan_sn", "network.width=4", "data.split=test")
    straight = advance(session_of(*overrides), 6)
    first = session_of(*overrides)
    advance(first, 3)
    state = copy.deepcopy(first.trainer.state_dict())
    second = session_of(*overrides)
    second.trainer.load_state_dict(state)
    resumed = advance(second, 3)
    assert straight.keys() == resumed.keys()
    assert all(torch.equal(straight[key], resumed[key]) for key in straight)


def test_sampling_between_steps_changes_nothing() -> None:
    """It puts all layers in evaluation mode and back."""
    overrides = ("model=dcgan", *SPECTRAL)
    straight = advance(session_of(*overrides), 3)
    session = session_of(*overrides)
    for _ in range(3):
        with session.trainer.sampling() as model:
            assert isinstance(model, Scores)
            model.score(torch.zeros(2, 1, 28, 28))
        advance(session, 1)
    state = session.model.state_dict()
    assert all(torch.equal(straight[key], state[key]) for key in straight)


def test_bf16() -> None:
    session = session_of("model=dcgan", *SPECTRAL, "runtime.precision=bf16")
    state = advance(session, 2)
    assert all(value.isfinite().all() for value in state.values())
    spectra = [m for m in session.model.modules() if isinstance(m, _SpectralNorm)]
    assert {m._u.dtype for m in spectra} == {torch.float32}
