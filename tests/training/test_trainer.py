"""The trainer on small games whose every move is known."""

from __future__ import annotations

import copy
from bisect import bisect_left
from itertools import accumulate, islice

import pytest
import torch
from composing import session_of
from playing import advance, snapshot
from torch import Tensor, nn

from gan_cli.ema import Average
from gan_cli.losses import NonSaturating
from gan_cli.model import Batch, DataSpec, Loss, Model, Phase, updates
from gan_cli.models.gan import GAN
from gan_cli.networks.dcgan import DCGAN
from gan_cli.penalties import R1, NoPenalty
from gan_cli.priors import Gaussian
from gan_cli.seeding import mix, seed_streams
from gan_cli.training.optimizers import PlayerOptimizer, build_players, players_of
from gan_cli.training.trainer import Trainer, batches_before, batches_per_step, steps_for

IMAGES = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def batch(k: int) -> Batch:
    index = torch.arange(4 * k, 4 * k + 4) % len(IMAGES)
    return Batch(index, lambda i: IMAGES[i], lambda i: i % 3)


def trainer_of(model: Model, lr: float = 0.01, decay: float = 0.9, **settings) -> Trainer:
    options = {name: {"lr": lr, **settings} for name in players_of(model.phases())}
    players = build_players(
        model, options, lambda node, parameters: torch.optim.Adam(parameters, **node), total=100
    )
    return Trainer(model, players, batch, seed=3, average=Average(model, decay))


def gan(**settings) -> GAN:
    torch.manual_seed(0)
    data = DataSpec("test", (1, 8, 8), 40, 3, ("a", "b", "c"))
    penalty = settings.pop("penalty", NoPenalty())
    network = DCGAN(4, discriminator_norm="layer" if penalty.per_sample else "batch")
    return GAN(data, Gaussian(5), network, NonSaturating(), penalty, **settings)


class Counting(Model):
    """Notes which phase saw which samples, in order."""

    def __init__(self, phases: list[dict]) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(1, 1), nn.Linear(1, 1)
        self.seen: list[tuple[int, str, int]] = []
        self.settings = phases
        self.after = 0

    def phases(self) -> list[Phase]:
        return [self.phase(**settings) for settings in self.settings]

    def phase(self, name: str, net: str = "a", **more) -> Phase:
        module = getattr(self, net)

        def loss(batch: Batch) -> Loss:
            self.seen.append((int(batch.index[0]) // 4, name, len(self.seen)))
            return Loss(module(torch.ones(1, 1)).sum(), {})

        def after() -> None:
            self.after += 1

        return Phase(name, loss, (module,), after=after, **more)

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        return torch.zeros(n, 1)

    def played(self) -> list[tuple[str, int]]:
        out, self.seen = [(name, k) for k, name, _ in self.seen], []
        return out


def test_repeats_see_fresh_batches_and_players_share_those_of_a_step() -> None:
    model = Counting([{"name": "critic", "repeat": 3}, {"name": "generator", "net": "b"}])
    trainer = trainer_of(model)
    trainer.advance()
    assert model.played() == [("critic", 0), ("critic", 1), ("critic", 2), ("generator", 0)]
    trainer.advance()
    assert model.played() == [("critic", 3), ("critic", 4), ("critic", 5), ("generator", 3)]
    assert trainer.drawn == 6
    assert model.after == 8


def test_every_start_and_stop() -> None:
    model = Counting(
        [
            {"name": "warm", "stop": 2},
            {"name": "late", "net": "b", "start": 2},
            {"name": "lazy", "net": "b", "every": 3, "optimizer": "late"},
        ]
    )
    trainer = trainer_of(model)
    played = []
    for _ in range(4):
        trainer.advance()
        played.append([name for name, _ in model.played()])
    assert played == [["warm", "lazy"], ["warm"], ["late"], ["late", "lazy"]]


def test_batches_per_step_follow_the_hungriest_player() -> None:
    model = Counting(
        [
            {"name": "d", "repeat": 2},
            {"name": "d_more", "repeat": 3, "every": 2, "optimizer": "d"},
            {"name": "g", "net": "b"},
        ]
    )
    counts = batches_per_step(model.phases())
    assert [next(counts) for _ in range(4)] == [5, 2, 5, 2]


def test_a_phase_that_follows_a_player_counts_its_updates_and_comes_right_after() -> None:
    """Updates 0, 3, 6 ... of d's, whichever of its phases makes them; batches are fresh ones."""
    model = Counting(
        [
            {"name": "d", "repeat": 2},
            {"name": "d_more", "repeat": 3, "stop": 1, "optimizer": "d"},
            {"name": "lazy", "every": 3, "follows": "d", "optimizer": "d"},
            {"name": "g", "net": "b"},
        ]
    )
    trainer = trainer_of(model)
    trainer.advance()
    names = ["d", "lazy", "d", "d_more", "d_more", "lazy", "d_more"]
    assert model.played() == [*((name, k) for k, name in enumerate(names)), ("g", 0)]
    trainer.advance()
    assert model.played() == [("d", 7), ("d", 8), ("lazy", 9), ("g", 7)]
    counts = batches_per_step(model.phases())
    assert [next(counts) for _ in range(4)] == [7, 3, 2, 3]


@pytest.mark.parametrize("every", [2, 4, 16])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"d_steps": 5},
        {"d_burst": 100},
        {"d_steps": 3, "d_burst": 7},
        {"d_steps": 2, "g_steps": 3},
        {"schedule": "alternate", "d_steps": 3},
    ],
    ids=str,
)
def test_a_lazy_penalty_weighs_as_much_for_each_update_as_one_that_is_always_there(
    every: int, settings: dict
) -> None:
    """Its factors over all updates so far are their number, but for those not yet paid off."""
    model = gan(penalty=R1(every=every), **settings)
    made, weight = 0, 0
    for step in range(530):
        for phase in updates(model.phases(), step):
            made += phase.name == "discriminator"
            weight += every * (phase.name == "discriminator_penalty")
            if phase.player == "discriminator":
                assert 0 <= weight - made < every or phase.name == "discriminator"
        assert weight == -(-made // every) * every


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"d_steps": 5},
        {"d_burst": 100},
        {"penalty": R1(every=16)},
        {"penalty": R1(every=16), "d_steps": 3, "d_burst": 7},
        {"penalty": R1(every=6), "schedule": "alternate", "d_steps": 4, "first": "generator"},
    ],
    ids=["plain", "d_steps", "burst", "lazy", "lazy burst", "alternate"],
)
def test_batches_of_many_steps_are_their_sum(settings: dict) -> None:
    phases = gan(**settings).phases()
    counts = list(islice(batches_per_step(phases), 9000))
    sums = [0, *accumulate(counts)]
    steps = [*range(60), *range(490, 1100, 7), 7999, 8000, 8001, 9000]
    assert [batches_before(phases, step) for step in steps] == [sums[step] for step in steps]
    for wanted in (0, 0.5, 1, 2, 17, 99.5, 100, 2500.25, 2600, sums[8000], sums[8000] + 0.5):
        assert steps_for(phases, wanted) == bisect_left(sums, wanted)


def test_the_first_steps_of_a_long_period_are_counted_without_walking_it() -> None:
    def none(batch: Batch) -> Loss:
        raise AssertionError("it is not played")

    phases = [Phase("one", none, ()), Phase("two", none, (), every=10**12)]
    assert batches_before(phases, 10) == 10
    assert steps_for(phases, 9.5) == 10


def test_what_a_phase_has_made_before_a_step_is_the_sum_of_its_updates_there() -> None:
    def none(batch: Batch) -> Loss:
        raise AssertionError("it is not played")

    for phase in (
        Phase("one", none, (), repeat=3),
        Phase("one", none, (), every=2, offset=1),
        Phase("one", none, (), start=25, every=10, repeat=4),
        Phase("one", none, (), start=3, stop=17, every=5, offset=2),
        Phase("one", none, (), start=9, stop=9),
    ):
        counts = [phase.repeats(step) for step in range(60)]
        assert [phase.made_before(step) for step in range(60)] == [
            sum(counts[:step]) for step in range(60)
        ]


def test_the_optimizer_makes_up_for_lazy_penalties_where_that_is_asked_for() -> None:
    """Karras et al. 2020, appendix B, with n = 16: rate and betas of 16 / 17 as many updates."""
    plain = trainer_of(gan(penalty=R1(every=16)), betas=(0.5, 0.99)).players
    changed = trainer_of(gan(penalty=R1(every=16, rescale=True)), betas=(0.5, 0.99)).players
    share = 16 / 17
    assert plain["discriminator"].rate == 0.01
    assert changed["discriminator"].rate == pytest.approx(0.01 * share)
    betas = changed["discriminator"].optimizer.param_groups[0]["betas"]
    assert betas == pytest.approx((0.5**share, 0.99**share))
    assert changed["discriminator"].optimizer.defaults["betas"] == betas
    assert changed["generator"].rate == 0.01
    assert changed["generator"].optimizer.param_groups[0]["betas"] == (0.5, 0.99)
    always = trainer_of(gan(penalty=R1(rescale=True)), betas=(0.5, 0.99)).players
    assert always["discriminator"].rate == 0.01


@pytest.mark.parametrize("penalty", [NoPenalty(), R1(every=1)])
def test_a_phase_moves_nothing_outside_what_it_trains(penalty) -> None:
    model = gan(penalty=penalty)
    trainer = trainer_of(model)
    trainer.advance()
    for phase, freezer in zip(trainer._phases, trainer._focus, strict=True):
        before = snapshot(model)
        freezer.apply()
        trainer._update(phase, batch(0), measure=False)
        moved = {n for n, v in snapshot(model).items() if not torch.equal(v, before[n])}
        assert moved
        own = "discriminator." if phase.name == "discriminator" else "generator."
        assert all(name.startswith(own) for name in moved), moved
        recorded = any("running_mean" in name for name in moved)
        assert recorded == (phase.name == "generator")


def test_a_frozen_generator_builds_no_graph() -> None:
    model = gan()
    trainer = trainer_of(model)
    trainer._focus[0].apply()
    assert not model.generate(torch.randn(2, 5)).requires_grad
    trainer._focus[1].apply()
    assert model.generate(torch.randn(2, 5)).requires_grad
    assert not model.discriminator(IMAGES[:2]).requires_grad


def test_shared_fakes_are_one_forward_and_the_same_gradient() -> None:
    """Sharing equals drawing the very same latents again in the generator's phase."""
    shared, apart = gan(share_fakes=True), gan(share_fakes=False)
    latents: list[Tensor] = []
    draw = Gaussian.sample

    class Same(Gaussian):
        def sample(self, n, device=None, generator=None):  # type: ignore[no-untyped-def]
            if latents:
                return latents.pop()
            latents.append(draw(self, n, device, generator))
            return latents[0]

    apart.prior = Same(5)
    calls = {"shared": 0, "apart": 0}
    shared.generator.register_forward_hook(
        lambda *_: calls.__setitem__("shared", calls["shared"] + 1)
    )
    apart.generator.register_forward_hook(lambda *_: calls.__setitem__("apart", calls["apart"] + 1))
    one, two = trainer_of(shared), trainer_of(apart)
    for _ in range(3):
        one.advance()
        two.advance()
    assert calls == {"shared": 3, "apart": 6}
    left, right = shared.state_dict(), apart.state_dict()
    for name, value in left.items():
        torch.testing.assert_close(value, right[name], msg=name)


def test_shared_fakes_live_no_longer_than_their_step() -> None:
    model = gan(share_fakes=True)
    trainer = trainer_of(model)
    made: list[Batch] = []
    trainer._batch = lambda k: made.append(batch(k)) or made[-1]  # type: ignore[func-returns-value]
    trainer.advance()
    assert made[0].kept == {}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"share_fakes": True},
        {"conditional": True, "d_steps": 2},
        {"d_steps": 2, "d_burst": 4},
        {"penalty": R1(every=3)},
    ],
)
def test_resume_is_exact(settings: dict) -> None:
    straight = trainer_of(gan(**copy.deepcopy(settings)))
    for _ in range(12):
        straight.advance()

    first = trainer_of(gan(**copy.deepcopy(settings)))
    for _ in range(5):
        first.advance()
    state = copy.deepcopy(first.state_dict())
    torch.manual_seed(12345)  # another process
    torch.randn(100)
    second = trainer_of(gan(**copy.deepcopy(settings)))
    second.load_state_dict(state)
    for _ in range(7):
        second.advance()

    assert same(straight.state_dict(), second.state_dict())
    assert straight.window.means() == second.window.means()


def same(a: object, b: object) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a, b)
    return a == b


def test_another_seed_is_another_run() -> None:
    one, two = trainer_of(gan()), trainer_of(gan())
    two.seed = 4
    one.advance()
    two.advance()
    assert not same(one.state_dict()["model"], two.state_dict()["model"])


def test_every_step_draws_its_own_noise() -> None:
    model = gan()
    trainer = trainer_of(model)
    seen: list[Tensor] = []
    model.generator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    for _ in range(3):
        trainer.advance()
    assert len(seen) == 6
    assert all(not torch.equal(a, b) for i, a in enumerate(seen) for b in seen[i + 1 :])


def test_averages_follow_the_steps_with_warm_up() -> None:
    trainer = trainer_of(gan(), decay=0.9)
    name = "0.layers.0.weight"
    weight = trainer.average.weights[name]
    expected = weight.detach().clone()
    for step in range(1, 4):
        trainer.advance()
        decay = (1 + step) / (10 + step)
        expected = decay * expected + (1 - decay) * weight.detach()
    torch.testing.assert_close(trainer.average.values[name], expected)


def test_another_setting_of_the_optimizer_is_not_undone_by_the_state() -> None:
    first, second = trainer_of(gan()), trainer_of(gan(), betas=(0.0, 0.5))
    first.advance()
    second.load_state_dict(first.state_dict())
    assert second.players["generator"].optimizer.param_groups[0]["betas"] == (0.0, 0.5)


def test_weights_that_are_not_finite_are_noticed() -> None:
    trainer = trainer_of(gan())
    assert not trainer.not_finite()
    with torch.no_grad():
        next(trainer.model.parameters()).view(-1)[0] = float("nan")
    assert trainer.not_finite() == "weights"


@pytest.mark.parametrize("part", ["buffers", "averaged weights", "optimizer state"])
def test_all_of_the_state_is_looked_at(part: str) -> None:
    trainer = trainer_of(gan())
    trainer.model.register_buffer("statistic", torch.ones(3))
    trainer.model.register_buffer("empty", torch.empty(0))
    trainer.model.register_buffer("fixed", torch.tensor(torch.inf), persistent=False)
    trainer.advance()
    moments = next(iter(trainer.players["generator"].optimizer.state.values()))
    spoiled = {
        "buffers": trainer.model.statistic,
        "averaged weights": next(iter(trainer.average.values.values())),
        "optimizer state": moments["exp_avg_sq"],
    }
    assert not trainer.not_finite()
    with torch.no_grad():
        spoiled[part].view(-1)[-1] = float("inf")
    assert trainer.not_finite() == part


def test_large_weights_are_finite_though_their_squares_are_not() -> None:
    trainer = trainer_of(gan())
    with torch.no_grad():
        next(trainer.model.parameters()).fill_(1e30)
    assert not trainer.not_finite()


def test_sampling_uses_averages_in_eval_mode_and_changes_nothing() -> None:
    model = gan()
    trainer = trainer_of(model)
    for _ in range(3):
        trainer.advance()
    before = snapshot(model)
    with trainer.sampling() as sampler:
        assert sampler is model
        assert not model.training
        images = model.generate(torch.zeros(2, 5))
        assert not images.requires_grad
        weight = snapshot(model.generator)
    assert model.training
    assert same(before, snapshot(model))
    assert not same(weight, snapshot(model.generator))


def test_read_reports_losses_norms_and_rates() -> None:
    trainer = trainer_of(gan())
    trainer.advance(measure=True)
    scalars = trainer.read()
    assert set(scalars) == {
        "loss/discriminator",
        "loss/generator",
        "output/real",
        "output/fake",
        "accuracy/real",
        "accuracy/fake",
        "accuracy/all",
        "probability/real",
        "probability/fake",
        "gradient_norm/discriminator",
        "gradient_norm/generator",
        "weight_norm/discriminator",
        "weight_norm/generator",
        "learning_rate/discriminator",
        "learning_rate/generator",
    }
    assert scalars["learning_rate/generator"] == 0.01
    flat = torch.cat([p.detach().flatten() for p in trainer.model.generator.parameters()])  # type: ignore[union-attr]
    assert scalars["weight_norm/generator"] == pytest.approx(flat.norm().item(), rel=1e-5)


def test_gradients_are_clipped_by_their_norm() -> None:
    trainer = trainer_of(gan(), clip_norm=1e-3)
    trainer.advance()
    for player in trainer.players.values():
        total = torch.cat([p.grad.flatten() for p in player.parameters if p.grad is not None])
        assert total.norm().item() <= 1.001e-3


def test_bf16_trains_with_weights_and_losses_in_fp32() -> None:
    model = gan()
    trainer = trainer_of(model)
    fast = Trainer(model, trainer.players, batch, 3, Average(model, 0.0), autocast=True)
    seen = []
    model.get_submodule("discriminator.first").register_forward_hook(
        lambda *a: seen.append(a[2].dtype)
    )
    fast.advance(measure=True)
    assert seen
    assert set(seen) == {torch.bfloat16}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        totals = [phase.loss(batch(0)).total for phase in model.phases()]
    assert [total.dtype for total in totals] == [torch.float32, torch.float32]
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert all(value == value for value in fast.read().values())


def test_simultaneous_players_move_by_gradients_at_the_same_weights() -> None:
    """As if each had moved alone from where the step begins."""
    settings = ("model=gan", "data.split=test", "optimizer=sgd", "optimizer.lr=0.1")
    both = session_of(*settings, "model.schedule=simultaneous")
    advance(both, 1)
    turns = session_of(*settings)
    start = snapshot(turns.model)
    advance(turns, 1)
    found, ordinary = snapshot(both.model), snapshot(turns.model)
    for name, value in found.items():
        if name.startswith("discriminator."):
            assert torch.equal(value, ordinary[name])
    moved = [name for name in found if not torch.equal(found[name], start[name])]
    assert any(name.startswith("generator.") for name in moved)
    # In turns the generator meets the discriminator's new weights, so it goes elsewhere.
    generator = [name for name in moved if name.startswith("generator.")]
    assert any(not torch.equal(found[name], ordinary[name]) for name in generator)


def test_simultaneous_players_may_share_fakes() -> None:
    """ALI's algorithm, which PacGAN's code uses: one pass, both gradients at the same weights."""
    settings = ("model=gan", "model.schedule=simultaneous", "model.share_fakes=true")
    settings += ("data.split=test", "optimizer=sgd", "optimizer.lr=0.1")
    session = session_of(*settings)
    trainer, model = session.trainer, session.model
    assert isinstance(model, GAN)
    passes: list[object] = []
    model.generator.register_forward_hook(lambda *_: passes.append(None))
    batch = trainer._batch(0)
    seed_streams(mix(trainer.seed, 0), model.device)
    discriminator, generator = model.phases()
    wanted = {}
    for phase, part in ((discriminator, "discriminator"), (generator, "generator")):
        named = dict(getattr(model, part).named_parameters(f"{part}"))
        total = phase.loss(batch).total
        found = torch.autograd.grad(total, list(named.values()), retain_graph=True)
        for (name, p), g in zip(named.items(), found, strict=True):
            wanted[name] = p.detach() - 0.1 * g
    assert len(passes) == 1
    advance(session, 1)
    assert len(passes) == 2
    for name, value in wanted.items():
        torch.testing.assert_close(model.get_parameter(name).detach(), value)


def test_simultaneous_gradient_descent_circles_in_a_bilinear_game() -> None:
    """min over x, max over y of x y: each step makes the distance (1 + lr^2)^(1/2) times as large.

    In turns it stays bounded (Gidel et al. 2019, section 2).
    """

    class Bilinear(Model):
        def __init__(self, simultaneous: bool) -> None:
            super().__init__()
            self.data, self.simultaneous = DataSpec("none", (1,), 1), simultaneous
            self.x, self.y = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
            for layer in (self.x, self.y):
                nn.init.ones_(layer.weight)

        def phases(self) -> list[Phase]:
            first = Phase("y", lambda batch: Loss(-self.value(), {}), (self.y,))
            return [first, Phase("x", lambda batch: Loss(self.value(), {}), (self.x,))]

        def value(self) -> Tensor:
            return (self.x.weight * self.y.weight).sum()

        def sample(self, n: int, y: Tensor | None = None) -> Tensor:
            return torch.zeros(n, 1)

    for simultaneous, low, high in ((True, 1.63, 1.65), (False, 0.9, 1.1)):
        model = Bilinear(simultaneous)
        players = {
            name: PlayerOptimizer(
                name, torch.optim.SGD(module.parameters(), lr=0.1), list(module.parameters()), 0.1
            )
            for name, module in (("x", model.x), ("y", model.y))
        }
        trainer = Trainer(model, players, batch, seed=0, average=Average(model, 0.0))
        for _ in range(100):
            trainer.advance()
        distance = (model.x.weight.square() + model.y.weight.square()).sqrt().item() / 2**0.5
        assert low < distance < high
