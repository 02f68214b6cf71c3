"""Unrolled GAN (Metz et al. 2017): what the generator foresees, and the gradient through it."""

from __future__ import annotations

import pytest
import torch
from composing import session_of
from torch import Tensor, nn

from gan_cli.errors import ConfigError
from gan_cli.losses import Wasserstein
from gan_cli.model import Batch, DataSpec
from gan_cli.models.unrolled import AdamDescent, GradientDescent, UnrolledGAN
from gan_cli.networks.family import Discriminator, Generator, NetworkFamily
from gan_cli.penalties import WeightClip
from gan_cli.priors import Gaussian


class Constant(Generator):
    """Always theta, whatever the latent."""

    def __init__(self) -> None:
        super().__init__(1, images=False)
        self.theta = nn.Parameter(torch.tensor([1.5]))

    def raw(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.theta.expand(len(z), 1)


class Slope(Discriminator):
    """psi x."""

    width = 1

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.head.weight, 0.7)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return x


class Dirac(NetworkFamily):
    """The players of the Dirac-GAN (Mescheder et al. 2018, Definition 2.1)."""

    def generator(self, inputs: int, data: DataSpec, classes: int = 0) -> Generator:
        return Constant()

    def discriminator(self, data: DataSpec, classes: int = 0) -> Discriminator:
        return Slope()


def dirac(unroll: int, saddle: bool) -> UnrolledGAN:
    data = DataSpec("dirac", (1,), 4)
    return UnrolledGAN(
        data,
        Gaussian(1),
        Dirac(),
        Wasserstein(),
        WeightClip(100.0),
        unroll=unroll,
        unroll_optimizer="sgd",
        unroll_lr=0.1,
        saddle=saddle,
    )


def zeros() -> Batch:
    return Batch(torch.arange(4), lambda index: torch.zeros(len(index), 1), lambda _: None)


@pytest.mark.parametrize("saddle", [True, False])
@pytest.mark.parametrize("unroll", [0, 1, 3])
def test_the_dirac_gan_s_loss_and_gradient_by_hand(unroll: int, saddle: bool) -> None:
    """L_D = psi theta, so psi_K = psi - K .1 theta, and f_K = -psi_K theta has a slope of
    -psi + 2 K .1 theta: the new part pulls theta to the truth, 0.
    """
    model = dirac(unroll, saddle)
    assert isinstance(model.generator, Constant)
    loss = model.generator_loss(zeros()).total
    loss.backward()
    theta, psi = 1.5, 0.7
    assert loss.item() == pytest.approx(-(psi - 0.1 * unroll * theta) * theta)
    assert model.generator.theta.grad is not None
    assert model.generator.theta.grad.item() == pytest.approx(-psi + 2 * 0.1 * unroll * theta)
    assert model.discriminator.head.weight.item() == pytest.approx(psi)  # it was imagination


@pytest.mark.parametrize(("unroll", "shrinks"), [(0, False), (5, True)])
def test_foresight_makes_the_dirac_gan_converge(unroll: int, shrinks: bool) -> None:
    """Alternating descent circles around the equilibrium (0, 0); unrolled, it spirals in.

    A step is psi <- psi - h theta, then theta <- (1 - 2 K h^2) theta + h psi, with h = .1. Its
    eigenvalues have the modulus sqrt(1 - 2 K h^2): 1 for K = 0, and .949 for K = 5.
    """
    model = dirac(unroll, saddle=True)
    optimizers = [
        torch.optim.SGD(network.parameters(), lr=0.1)
        for network in (model.discriminator, model.generator)
    ]
    reach = []
    for _ in range(100):
        for loss, optimizer in zip(
            (model.discriminator_loss, model.generator_loss), optimizers, strict=True
        ):
            optimizer.zero_grad()
            loss(zeros()).total.backward()
            optimizer.step()
        reach.append(sum(p.square().sum().item() for p in model.parameters()) ** 0.5)
    assert (max(reach[-30:]) < 0.05) if shrinks else (min(reach) > 1.0)


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double()


def pull(network: nn.Module, weights: dict[str, Tensor], x: Tensor) -> Tensor:
    return (torch.func.functional_call(network, weights, (x,)) - 1).square().mean()


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_imagined_steps_are_those_of_torch_s_optimizer(kind: str) -> None:
    """From the moments that true steps have left, for Adam."""
    network, x = net(), torch.randn(5, 2, dtype=torch.float64)
    if kind == "adam":
        descent = AdamDescent(network, 0.01, (0.5, 0.99))
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01, betas=(0.5, 0.99))
    else:
        descent = GradientDescent(lr=0.01)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01)

    def update() -> None:
        optimizer.zero_grad()
        (network(x) - 1).square().mean().backward()
        optimizer.step()

    for _ in range(4):
        update()
        descent.record(network)
    weights = dict(network.named_parameters())
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    imagined = descent.descend({**weights}, lambda some: pull(network, some, x), 3)
    assert all(torch.equal(before[name], weight) for name, weight in weights.items())
    for _ in range(3):
        update()
    for name, weight in network.named_parameters():
        torch.testing.assert_close(imagined[name], weight, rtol=1e-6, atol=1e-9)


def test_its_moments_are_those_of_the_true_updates_lazy_penalties_included() -> None:
    lazy = ("penalty=r1", "penalty.every=2", "optimizer.betas=[0.5,0.999]")
    session = session_of("model=unrolled", "model.unroll=1", "data=ring", "data.points=64", *lazy)
    for _ in range(3):
        session.trainer.advance()
    (descent,) = (m for m in session.model.modules() if isinstance(m, AdamDescent))
    optimizer = session.players["discriminator"].optimizer
    assert descent.count == 5  # three updates and two of the penalty alone
    for place, state in enumerate(optimizer.state.values()):
        mean, square = descent._moments(place)
        torch.testing.assert_close(mean, state["exp_avg"], rtol=1e-5, atol=1e-8)
        torch.testing.assert_close(square, state["exp_avg_sq"], rtol=1e-5, atol=1e-10)


def foreseen_and_true(*overrides: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """D's weights after one more update on a batch, as the generator foresees it and as made."""
    ring = ("model=unrolled", "model.unroll=1", "data=ring", "data.points=64", "steps=10")
    session = session_of(*ring, *overrides)
    trainer, model = session.trainer, session.model
    assert isinstance(model, UnrolledGAN)
    for _ in range(4):
        trainer.advance()
    for player in trainer.players.values():
        player.set_rate(trainer.step)
    batch, fake = session.stream.batch(9), model.sample(8).detach()
    model.sample = lambda n, y=None: fake  # type: ignore[method-assign]
    weights = dict(model.discriminator.named_parameters())
    trainer._focus[0].apply()
    seen = model.descent.descend(
        {**weights}, lambda some: model._look_ahead_loss(some, batch.real, fake), 1
    )
    trainer._update(trainer._phases[0], batch, measure=False)
    return seen, {**weights}


@pytest.mark.parametrize(
    "overrides",
    [
        ("optimizer.discriminator.lr=3e-2",),
        ("optimizer.betas=[0.8,0.9]", "optimizer.lr=1e-2"),
        ("optimizer.lr=1e-2", "optimizer.schedule=linear"),
        ("optimizer.lr=1e-2", "optimizer.warmup=100"),
        ("optimizer=sgd", "optimizer.momentum=0", "model.unroll_optimizer=sgd"),
        ("optimizer.lr=1e-2", "+optimizer.eps=1e-3"),
    ],
    ids=" ".join,
)
def test_the_generator_looks_ahead_with_the_discriminators_own_optimizer(
    overrides: tuple[str, ...],
) -> None:
    seen, made = foreseen_and_true(*overrides)
    for name, weight in made.items():
        torch.testing.assert_close(seen[name], weight, rtol=1e-5, atol=1e-6)


def test_a_look_ahead_with_settings_of_its_own_keeps_to_them() -> None:
    own = ("model.unroll_lr=1e-4", "model.unroll_betas=[0.5,0.999]")
    seen, made = foreseen_and_true("optimizer.lr=1e-2", *own)
    assert any(not torch.allclose(seen[n], w, rtol=1e-3, atol=1e-4) for n, w in made.items())
    session_of("model=unrolled", "data=ring", "data.points=64", "optimizer=rmsprop", *own)


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (
            ("optimizer=rmsprop",),
            r"adam: cannot look ahead .* discriminator, which is R",
        ),
        (("optimizer=adamw",), r"which has weight_decay = 0.01; choose another, or give the look-"),
        (
            ("optimizer=sgd", "model.unroll_optimizer=sgd"),
            r"sgd: cannot .* has momentum = 0.5; choose .* of its own with model.unroll_lr$",
        ),
    ],
)
def test_an_optimizer_that_cannot_be_followed_is_refused(
    overrides: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        session_of("model=unrolled", "data=ring", "data.points=64", *overrides)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_the_gradient_through_the_steps_is_right(kind: str) -> None:
    """Against finite differences in float64."""
    network = net()
    weights = {name: weight.detach() for name, weight in network.named_parameters()}
    descent = AdamDescent(network, 0.05, (0.5, 0.9)) if kind == "adam" else GradientDescent(lr=0.05)
    pull(network, {**dict(network.named_parameters())}, torch.ones(3, 2).double()).backward()
    descent.record(network)

    def later(x: Tensor) -> Tensor:
        found = descent.descend(weights, lambda some: pull(network, some, x), 2)
        return pull(network, found, x)

    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(later, (x,))


def test_dead_units_give_no_nan() -> None:
    network = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    nn.init.constant_(network[0].bias, -100.0)  # type: ignore[arg-type]
    descent = AdamDescent(network, 0.1, (0.5, 0.9))
    x = torch.ones(2, 1, requires_grad=True)
    found = descent.descend(
        {**dict(network.named_parameters())}, lambda some: pull(network, some, x), 2
    )
    pull(network, found, x).backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())


@pytest.mark.parametrize("loss", ["minimax", "non_saturating"])
def test_0_steps_are_a_gan_bit_for_bit(loss: str) -> None:
    shared = (f"loss={loss}", "network=mlp", "data=ring", "data.points=100", "network.depth=2")
    saddle = str(loss == "minimax").lower()
    plain = session_of("model=gan", *shared)
    unrolled = session_of("model=unrolled", "model.unroll=0", f"model.saddle={saddle}", *shared)
    for _ in range(10):
        plain.trainer.advance()
        unrolled.trainer.advance()
    found = unrolled.model.state_dict()
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, found[name]), name


def test_nothing_imagined_is_recorded_where_d_has_batch_norm() -> None:
    session = session_of("model=unrolled", "model.unroll=2", "network=dcgan", "data.split=test")
    trainer = session.trainer
    trainer.advance()
    before = {n: v.clone() for n, v in session.model.state_dict().items() if "generator" not in n}
    phase, focus = trainer._phases[-1], trainer._focus[-1]
    focus.apply()
    trainer._update(phase, session.stream.batch(3), measure=False)
    after = session.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
