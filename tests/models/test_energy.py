"""The discriminator alone generates: chains, their buffer, and what is learned from them."""

from __future__ import annotations

import math

import pytest
import torch
from composing import session_of
from playing import advance, check_that_resuming_is_exact
from torch import Tensor, nn

from gan_cli.errors import ConfigError
from gan_cli.metrics.modes import distances, nodes_of
from gan_cli.model import Batch, Fields, Grid, Lines
from gan_cli.models.energy import EnergyModel, Langevin, ReplayBuffer, at_rest
from gan_cli.sampling.samples import draw
from gan_cli.training.setup import Session

POINTS = ("network=mlp", "model.noise=1", "model.gradient_clip=null", "model.energy_weight=0")


def model_of(session: Session) -> EnergyModel:
    assert isinstance(session.model, EnergyModel)
    return session.model


def made(*overrides: str) -> EnergyModel:
    return model_of(session_of("model=energy", "data.split=test", *overrides))


class TestLangevin:
    """x <- x + s/2 grad f(x) + c sqrt(s) N(0, 1)."""

    @pytest.mark.parametrize("noise", [1.0, 0.5])
    def test_the_stationary_law_of_a_gaussian(self, noise: float) -> None:
        """On N(m, v) the recursion is linear: its variance is c^2 v / (1 - s / (4 v)), not v."""
        mean, variance, step = 1.5, 0.5, 0.2

        def score(x: Tensor) -> Tensor:
            return -(x - mean).square().sum(1) / (2 * variance)

        torch.manual_seed(0)
        n, steps = 20_000, 40  # 1 - s / (2 v) = .8; .8^40 is .0001 of where they began
        chains = Langevin(step, noise, bound=50.0, reflect=True)
        x = chains(score, torch.zeros(n, 1), steps)[:, 0]
        expected = noise**2 * variance / (1 - step / (4 * variance))
        assert x.mean().item() == pytest.approx(mean, abs=4 * math.sqrt(expected / n) + 2e-4)
        assert x.var().item() == pytest.approx(expected, abs=4 * expected * math.sqrt(2 / n))

    def test_one_step_by_hand(self) -> None:
        x = torch.tensor([[0.25, -0.5]])
        still = Langevin(0.5, 0.0, bound=1.0, reflect=False)
        # The gradient of 3 x1 - x2 is (3, -1), and half of .5 is .25.
        assert still(lambda x: 3 * x[:, 0] - x[:, 1], x, 1).tolist() == [[1.0, -0.75]]
        clipped = Langevin(0.5, 0.0, bound=1.0, reflect=False, clip=2.0)
        assert clipped(lambda x: 3 * x[:, 0] - x[:, 1], x, 1).tolist() == [[0.75, -0.75]]

    def test_mirrors(self) -> None:
        mirrors = Langevin(2.0, 0.0, bound=1.0, reflect=True)
        weights = torch.tensor([0.2, 1.0, 2.5, 6.1])  # how far each goes
        ends = mirrors(lambda x: (x * weights).sum(1), torch.tensor([[0.5, 0.5, 0.5, 0.5]]), 1)
        # .7; 1.5 comes back to .5; 3 to -1; 6.6 goes to -2.6 + 4 n, that is -.6 of the way back.
        torch.testing.assert_close(ends, torch.tensor([[0.7, 0.5, -1.0, -0.6]]))

    def test_the_law_in_a_box_is_even_without_a_slope(self) -> None:
        """Reflection leaves the uniform law as it is; cutting off would heap it up at the sides."""
        torch.manual_seed(0)
        n = 20_000
        x = Langevin(0.3, 1.0, bound=1.0, reflect=True)(
            lambda x: 0 * x.sum(1), torch.zeros(n, 1), 30
        )
        shares = torch.histc(x, bins=10, min=-1, max=1) / n
        assert (shares - 0.1).abs().max() < 4.5 * math.sqrt(0.09 / n)

    @pytest.mark.parametrize("frozen", [True, False])
    def test_no_weight_gets_a_gradient_from_sampling(self, frozen: bool) -> None:
        model = made().requires_grad_(not frozen)
        with torch.no_grad():
            x = model.climb(model.replay.noise(4), 2)
        y = model.climb(model.replay.noise(4), 2)
        assert not x.requires_grad
        assert not y.requires_grad
        assert all(parameter.grad is None for parameter in model.parameters())

    def test_in_fp32_under_bf16(self) -> None:
        model = made()
        begin = model.replay.noise(4)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.manual_seed(1)
            mixed = model.climb(begin, 2)
        torch.manual_seed(1)
        assert torch.equal(mixed, model.climb(begin, 2))

    def test_the_network_is_at_rest_meanwhile(self) -> None:
        network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.Dropout().eval())
        with at_rest(network):
            assert not any(module.training for module in network.modules())
        assert [m.training for m in network.modules()] == [True, True, True, False]

    def test_spectral_norm_does_not_iterate_while_sampling(self) -> None:
        model = made("network.spectral_norm=true")
        before = {n: b.clone() for n, b in model.discriminator.named_buffers()}
        model.climb(model.replay.noise(4), 2)
        assert before
        assert all(torch.equal(before[n], b) for n, b in model.discriminator.named_buffers())


class TestReplayBuffer:
    """Where chains begin."""

    def test_places_are_distinct_and_kept(self) -> None:
        buffer = ReplayBuffer(50, (2,), 3.0)
        assert buffer.samples.abs().max() <= 3
        before = buffer.samples.clone()
        start, places = buffer.start(30, restart=0.0)
        assert len(set(places.tolist())) == 30
        assert torch.equal(start, before[places])
        buffer.put(places, start + 10)
        others = torch.ones(50, dtype=torch.bool).index_fill(0, places, False)
        assert torch.equal(buffer.samples[others], before[others])
        assert torch.equal(buffer.samples[places], before[places] + 10)

    def test_the_share_that_begins_anew(self) -> None:
        torch.manual_seed(0)
        n, share = 20_000, 0.05
        buffer = ReplayBuffer(n, (1,), 1.0)
        start, places = buffer.start(n, share)
        anew = (start != buffer.samples[places]).float().mean().item()
        assert anew == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / n))

    def test_an_update_moves_as_many_as_a_batch(self) -> None:
        session = session_of("model=energy", "data.split=test", "model.langevin_steps=1")
        model = model_of(session)
        before = model.replay.samples.clone()
        advance(session, 1)
        moved = (model.replay.samples != before).flatten(1).any(1).sum().item()
        assert moved == 8  # SMALL's batch


def test_the_loss_is_the_gradient_of_the_likelihood() -> None:
    """loss=wasserstein: E f(fake) - E f(real) on the very negatives, and the weighted squares."""
    session = session_of("model=energy", "data.split=test", "model.energy_weight=0.5")
    model, batch = model_of(session), session.stream.batch(0)
    loss = model.discriminator_loss(batch)
    real = model.discriminator(batch.real)
    assert loss.logs["output/real"].item() == pytest.approx(real.mean().item(), abs=1e-6)
    gap = loss.logs["output/fake"] - loss.logs["output/real"]
    expected = gap + 0.5 * loss.logs["output/squares"]
    torch.testing.assert_close(loss.total.detach(), expected)


@pytest.mark.parametrize(
    "overrides",
    [
        ("loss=non_saturating", "penalty=r1", "penalty.every=2"),
        ("network=dcgan_sn", "model.sample_from=noise", "model.data_noise=0.03"),
        ("penalty=weight_clip", "runtime.precision=bf16"),
    ],
)
def test_resuming_is_exact_with_its_options(overrides: tuple[str, ...]) -> None:
    options = ("model.langevin_steps=3", "model.sample_steps=2", "model.buffer_size=16")
    check_that_resuming_is_exact(4, "model=energy", "data.split=test", *options, *overrides)


def test_samples_are_the_same_whatever_the_batch() -> None:
    model = made("model.sample_steps=2").eval()
    few = torch.cat(list(draw(model, 70, batch=1)))
    many = torch.cat(list(draw(model, 130, batch=1000)))
    assert torch.equal(few, many[:70])
    assert not torch.equal(many[:64], many[64:128])


def learned(*overrides: str) -> Session:
    """A small energy of points, trained for some seconds."""
    session = session_of(
        "model=energy",
        *POINTS,
        "network.width=32",
        "network.discriminator_activation=silu",
        "batch_size=256",
        "model.buffer_size=1024",
        "model.langevin_steps=10",
        "model.bound=6",
        "optimizer.lr=3e-3",
        "optimizer.clip_norm=null",
        "optimizer.schedule=linear",
        "ema.decay=0.98",
        "steps=140",
        *overrides,
    )
    advance(session, 140)
    return session


@pytest.mark.parametrize(
    "data",
    [
        ("data=gaussian_1d", "data.mean=1", "data.deviation=0.8", "model.step_size=0.15"),
        (
            "data=mixture_1d",
            "data.means=[-1.5,1.5]",
            "data.deviation=0.7",
            "model.step_size=0.15",
        ),
    ],
)
def test_the_density_that_it_learns_is_the_true_one(data: tuple[str, ...]) -> None:
    """Within .2 in total variation (.03 to .09 with other seeds); untrained it is above .5."""
    session = learned(*data)
    truth = session.dataset
    nodes = nodes_of(truth.modes, truth.deviation)  # type: ignore[attr-defined]
    batch = Batch(torch.arange(len(nodes.points)), nodes.points.float().__getitem__, lambda _: None)
    with session.trainer.sampling() as model:
        assert isinstance(model, EnergyModel)
        ours = model.likelihood(batch, 1)["log_likelihood"]
        picture = model.views(batch, truth.log_density)["theory/density"]
    found = distances(truth.log_density(nodes.points), ours, nodes.weights)  # type: ignore[arg-type]
    assert found.total_variation < 0.2
    assert isinstance(picture, Lines)
    for curve in picture.curves.values():
        assert torch.trapezoid(curve, picture.x).item() == pytest.approx(1, abs=1e-3)


def test_log_z_in_the_plane() -> None:
    """Of f(x) = a x1 the integral over the box is known: 2 b * 2 sinh(a b) / a."""
    model = model_of(session_of("model=energy", *POINTS, "data=ring", "model.bound=1.5"))
    slope, bound = 0.7, 1.5
    model.discriminator.forward = lambda x: slope * x[:, 0]  # type: ignore[method-assign]
    x = torch.tensor([[0.3, -1.0], [1.6, 0.0]])
    found = model.likelihood(Batch(torch.arange(2), x.__getitem__, lambda _: None), 1)
    log_z = math.log(2 * bound * 2 * math.sinh(slope * bound) / slope)
    assert found["log_likelihood"][0].item() == pytest.approx(slope * 0.3 - log_z, abs=1e-4)
    assert found["log_likelihood"][1].item() == -math.inf  # outside


def test_what_the_noise_does_to_the_density() -> None:
    model = made(*POINTS[:1], "data=gaussian_1d", "model.noise=0.5", "~data.split")
    x = torch.tensor([[0.0], [1.0]])
    found = model.likelihood(Batch(torch.arange(2), x.__getitem__, lambda _: None), 1)
    gap = (model.discriminator(x[1:]) - model.discriminator(x[:1])) / 0.25
    both = found["log_likelihood"]
    assert (both[1] - both[0]).item() == pytest.approx(gap.item(), abs=1e-5)


def test_views() -> None:
    session = session_of("model=energy", "data.split=test", "model.langevin_steps=1")
    with session.trainer.sampling() as model:
        assert isinstance(model, EnergyModel)
        views = model.views(session.stream.batch(0), lambda _: None)
    assert set(views) == {"samples/random", "samples/buffer", "samples/chains"}
    for view in views.values():
        assert isinstance(view, Grid)
        assert view.images.abs().max() <= 1
        assert len(view.images) % view.columns == 0
    plane = session_of("model=energy", *POINTS, "data=ring")
    with plane.trainer.sampling() as model:
        assert isinstance(model, EnergyModel)
        view = model.views(plane.stream.batch(0), plane.dataset.log_density)["theory/density"]
    assert isinstance(view, Fields)
    assert {values.shape for values in view.values.values()} == {torch.Size([256, 256])}
    # The first row is the top: there x2 is largest, and the ring's density at (0, 1) is in it.
    truth = view.values["truth"]
    rows, columns = (truth == truth.max()).nonzero().double().mean(0).tolist()
    assert rows == pytest.approx(127.5, abs=1)
    assert columns == pytest.approx(127.5, abs=1)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("model.langevin_steps=0",), "model.langevin_steps = 0: must be at least 1"),
        (("model.step_size=0",), "model.step_size = 0: must be a number above 0"),
        (("model.noise=-1",), "model.noise = -1: must not be negative"),
        (("model.gradient_clip=0",), "model.gradient_clip = 0: must be a number above 0"),
        (("model.restart=1.5",), r"model.restart = 1.5: must lie in \[0, 1\]"),
        (("model.buffer_size=4",), "model.buffer_size = 4: must be at least batch_size = 8"),
        (("model.data_noise=-1",), "model.data_noise = -1: must not be negative"),
        (("model.energy_weight=-1",), "model.energy_weight = -1: must not be negative"),
        (("network=dcgan",), "set network.discriminator_norm=none or layer"),
        (("model.sample_from=data",), "model.sample_from"),
    ],
)
def test_what_cannot_run_is_refused(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        session_of("model=energy", "data.split=test", *overrides)


def test_points_need_a_box() -> None:
    with pytest.raises(ConfigError, match=r"model.bound = 0: must be a number above 0"):
        session_of("model=energy", "data=ring", "network=mlp", "model.bound=0")
