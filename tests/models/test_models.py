"""Every conf/model/*.yaml through the same checks."""

from __future__ import annotations

import math

import pytest
import torch
from composing import MODELS, OF_POINTS, little, session_of
from playing import (
    advance,
    check_that_phases_move_only_what_they_train_or_share,
    check_that_resuming_is_exact,
)

from gan_cli.errors import ConfigError
from gan_cli.model import Draws, Grid, HasViews, Reconstructs
from gan_cli.models.gan import GAN
from gan_cli.models.infogan import InfoGAN, gaussian_log_likelihood
from gan_cli.penalties import GradientPenalty, WeightClip

# Settings that save time and do not matter for resuming.
CHEAPER = {
    "energy": ("model.langevin_steps=5",),
    "projection_gan": ("model.d_steps=1",),
    "unrolled": ("model.unroll=2",),
}
TRANSLATORS = ["pix2pix", "srgan", "context_encoder", "cyclegan", "discogan", "dualgan"]
OF_IMAGES_ALONE = ["stylegan2", "rbm", "helmholtz", "cogan", *TRANSLATORS]
OF_TEXT = ["seqgan", "text_wgan"]
OF_IMAGES = sorted(set(MODELS) - set(OF_POINTS) - set(OF_TEXT))


@pytest.mark.parametrize("model", MODELS)
def test_a_phase_moves_only_what_it_trains_or_shares(model: str) -> None:
    session = session_of(*little(model))
    check_that_phases_move_only_what_they_train_or_share(session)


# Games of one class with others of these are resumed in the second call of pytest.
ALIKE = ["context_encoder", "discogan", "dualgan", "srgan", "began", "magan", "cvae", "acgan"]
RESUMED = [pytest.param(m, marks=[pytest.mark.slow] * (m in ALIKE)) for m in MODELS]


@pytest.mark.parametrize("model", RESUMED)
def test_10_and_10_steps_are_20_steps_bit_for_bit(model: str) -> None:
    overrides = CHEAPER.get(model, ())
    check_that_resuming_is_exact(10, *little(model), *overrides)


@pytest.mark.parametrize("model", sorted(OF_POINTS))
def test_what_is_for_points_alone_refuses_images(model: str) -> None:
    with pytest.raises(ConfigError, match=r"data = mnist: .* needs points"):
        session_of(f"model={model}", "data=mnist", "data.split=test")


@pytest.mark.slow
@pytest.mark.parametrize("model", OF_IMAGES)
def test_samples_and_pictures(model: str) -> None:
    session = session_of(*little(model))
    advance(session, 2)
    prior, batch = session.model.prior, session.stream.batch(0)
    latents = None if prior is None else prior.sample(64)  # what decodes none draws in `views`
    with session.trainer.sampling() as sampler:
        samples = sampler.sample(5)
        pictures, again, views = {}, {}, {}
        if latents is not None:
            assert isinstance(sampler, Draws)
            pictures, again = dict(sampler.pictures(latents)), sampler.pictures(latents)
        if isinstance(sampler, HasViews):
            views = dict(sampler.views(batch, session.dataset.log_density))
        rebuilt = sampler.reconstruct(batch) if isinstance(sampler, Reconstructs) else None
    grids = {name: view for name, view in views.items() if isinstance(view, Grid)}
    assert samples.shape == (5, 1, 28, 28)
    assert samples.abs().max() <= 1
    assert rebuilt is None or rebuilt.shape == batch.real.shape
    assert "samples/random" in pictures | grids
    assert ("samples/fixed" in pictures) == (latents is not None)
    for grid in (pictures | grids).values():
        assert grid.images.shape[1:] == (1, 28, 28)
        assert len(grid.images) % grid.columns == 0
    for name, grid in pictures.items():
        assert torch.equal(grid.images, again[name].images) == (name != "samples/random")


@pytest.mark.parametrize("model", OF_IMAGES_ALONE + OF_TEXT)
def test_what_is_for_images_or_sentences_refuses_points(model: str) -> None:
    refused = (
        "TranslationFamily|units are on or off|LSTMs|Convolutions|inputs and targets|needs its own"
    )
    with pytest.raises(ConfigError, match=refused):
        session_of(f"model={model}", "data=ring", "network=mlp", "data.points=100")


@pytest.mark.slow
@pytest.mark.parametrize("model", sorted(set(MODELS) - set(OF_IMAGES_ALONE + OF_TEXT)))
@pytest.mark.parametrize("data", ["gaussian_1d", "ring", "grid"])
def test_points_with_perceptrons(model: str, data: str) -> None:
    if model in ("cgan", "acgan", "cvae", "projection_gan") and data == "gaussian_1d":
        with pytest.raises(ConfigError, match="data=gaussian_1d has no labels"):
            session_of(f"model={model}", f"data={data}", "network=mlp", "data.points=100")
        return
    own = OF_POINTS.get(model, ("data.points=100",))
    session = session_of(f"model={model}", f"data={data}", "network=mlp", *own)
    advance(session, 2)
    with session.trainer.sampling() as sampler:
        assert sampler.sample(3).shape == (3, 1 if data == "gaussian_1d" else 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ("model=wgan", "network=mlp"),
        ("model=dcgan", "loss=hinge", "penalty=r1", "network.discriminator_norm=layer"),
        ("model=dcgan", "penalty=r1", "penalty.every=2", "network=dcgan_gp"),
        ("model=infogan", "prior=uniform"),
        ("model=infogan", "network=mlp", "loss=wasserstein", "penalty=gradient_penalty"),
        ("model=infogan", "network=dcgan", "penalty=r1", "penalty.every=2", "loss=least_squares"),
        ("model=cgan", "network=infogan"),
        ("model=wgan", "model.d_burst=7"),
        ("model=dcgan", "data.size=[20,33]"),
        ("model=dcgan", "runtime.precision=bf16"),
        ("model=gan", "optimizer=sgd"),
        ("model=gan", "optimizer=adamw"),
        ("model=gan", "loss=relativistic"),
        ("model=dcgan", "loss=relativistic", "model.feature_matching=1", "model.share_fakes=false"),
        ("model=infogan", "loss=relativistic"),
        ("model=acgan", "loss=relativistic", "penalty=r1", "penalty.every=2"),
        ("model=acgan", "network=infogan", "model.augment=[color,cutout]", "model.d_steps=2"),
        ("model=unrolled", "loss=relativistic", "model.saddle=false"),
        (
            "model=unrolled",
            "penalty=r1",
            "model.unroll_optimizer=sgd",
            "optimizer=sgd",
            "optimizer.momentum=0",
        ),
        ("model=unrolled", "network.spectral_norm=true", "runtime.precision=bf16"),
        ("model=dcgan", "model.g_steps=2", "model.packing=2", "model.augment=[translation]"),
        ("model=dcgan", "network.generator_norm=virtual_batch"),
        ("model=wgan_gp", "model.packing=4", "model.instance_noise=0.1"),
        ("model=projection_gan", "network=infogan", "model.instance_noise=0.1"),
        ("model=cgan", "data=paths", "data.side=12", "penalty=r1", "penalty.every=2"),
        ("model=pix2pix", "data=paths", "model.cross_entropy=1", "network.discriminator_width=8"),
    ],
)
@pytest.mark.filterwarnings("ignore:penalty = r1 looks at")
def test_combinations_train(overrides: tuple[str, ...]) -> None:
    session = session_of(*overrides, "data.split=test")
    advance(session, 3)
    session.trainer.advance(measure=True)
    scalars = session.trainer.read()
    assert all(math.isfinite(value) for value in scalars.values()), scalars


@pytest.mark.parametrize(
    ("model", "optimizer", "lr", "settings", "d_steps", "loss", "penalty"),
    [
        # Radford et al. 2016, section 4; Chen et al. 2016, appendix C (1e-3 for G, see below);
        # Arjovsky et al. 2017, Algorithm 1; Gulrajani et al. 2017, Algorithm 1.
        ("dcgan", "Adam", 2e-4, {"betas": (0.5, 0.999)}, 1, "NonSaturating", "NoPenalty"),
        ("cgan", "Adam", 2e-4, {"betas": (0.5, 0.999)}, 1, "NonSaturating", "NoPenalty"),
        ("infogan", "Adam", 2e-4, {"betas": (0.5, 0.999)}, 1, "NonSaturating", "NoPenalty"),
        ("wgan", "RMSprop", 5e-5, {}, 5, "Wasserstein", "WeightClip"),
        ("wgan_gp", "Adam", 1e-4, {"betas": (0.0, 0.9)}, 5, "Wasserstein", "GradientPenalty"),
    ],
)
def test_each_model_brings_its_paper_s_settings(
    model: str,
    optimizer: str,
    lr: float,
    settings: dict,
    d_steps: int,
    loss: str,
    penalty: str,
) -> None:
    session = session_of(f"model={model}", "data.split=test")
    game = session.model
    assert isinstance(game, GAN | InfoGAN)
    player = session.players[game.loss.player]
    assert type(player.optimizer).__name__ == optimizer
    assert player.rate == lr
    for key, value in settings.items():
        assert tuple(player.optimizer.defaults[key]) == value
    assert game.phases()[0].repeat == d_steps
    assert (type(game.loss).__name__, type(game.penalty).__name__) == (loss, penalty)
    assert game.prior.sample(1).shape[1] == (112 if model == "infogan" else 100)
    if isinstance(game.penalty, GradientPenalty):
        assert (game.penalty.weight, game.penalty.target) == (10.0, 1.0)
    if isinstance(game.penalty, WeightClip):
        assert game.penalty.limit == 0.01


def test_settings_of_one_player() -> None:
    session = session_of("model=dcgan", "optimizer.discriminator.lr=4e-4", "data.split=test")
    assert session.players["discriminator"].rate == 4e-4
    assert session.players["generator"].rate == 2e-4
    infogan = session_of("model=infogan", "data.split=test")
    assert infogan.players["discriminator"].rate == 2e-4
    assert infogan.players["generator"].rate == 1e-3


def test_the_wgan_authors_schedule() -> None:
    model = session_of("model=wgan", "model.d_burst=100", "data.split=test").model
    updates = {
        step: sum(p.repeats(step) for p in model.phases() if p.player == "critic")
        for step in (0, 24, 25, 26, 499, 500, 501, 1000)
    }
    assert updates == {0: 100, 24: 100, 25: 5, 26: 5, 499: 5, 500: 100, 501: 5, 1000: 100}


def test_the_critic_of_a_wgan_stays_clipped() -> None:
    session = session_of("model=wgan", "data.split=test")
    advance(session, 2)
    assert isinstance(session.model, GAN)
    largest = max(p.abs().max().item() for p in session.model.discriminator.parameters())
    assert largest == pytest.approx(0.01)


CLIPPED = {  # models that take the penalty, by what it is on
    "wgan": "discriminator",
    "bigan": "discriminator",
    "aae": "discriminator",
    "energy": "discriminator",
    "vaegan": "discriminator",
    "cyclegan": "discriminator input_discriminator",
    "pix2pix": "discriminator",
    "gap": "discriminator",
    "seqgan": "discriminator",
    "text_wgan": "discriminator",
    "divergence": "discriminator",
}


@pytest.mark.parametrize("model", CLIPPED)
@pytest.mark.parametrize("at_start", [True, False])
def test_weights_are_clipped_before_the_first_update_where_wanted(
    model: str, at_start: bool
) -> None:
    clip = "penalty=weight_clip", f"penalty.at_start={str(at_start).lower()}"
    built = session_of(*little(model), *clip).model
    for player in CLIPPED[model].split():
        weights = [parameter.detach().abs() for parameter in getattr(built, player).parameters()]
        largest = max(weight.max().item() for weight in weights)
        assert largest == pytest.approx(0.01) if at_start else largest > 0.011
    generator = getattr(built, "generator", None)
    if generator is not None:
        assert max(parameter.abs().max().item() for parameter in generator.parameters()) > 0.01


def test_a_conditional_generator_draws_the_class_it_is_given() -> None:
    session = session_of("model=cgan", "data.split=test")
    assert isinstance(session.model, Draws)
    grid = session.model.pictures(session.model.prior.sample(64))["samples/classes"]
    assert grid.columns == 10
    assert len(grid.images) == 100
    assert grid.rows == session.dataset.spec.class_names


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("model=dcgan", "model.d_steps=2"), "model.share_fakes = true: fakes can be shared only"),
        (("model=wgan", "model.d_burst=3"), "model.d_burst = 3: must exceed model.d_steps = 5"),
        (("model=gan", "model.d_steps=0"), "model.d_steps = 0: must be at least 1"),
        (("model=gan", "model.g_steps=0"), "model.g_steps = 0: must be at least 1"),
        (("model=cgan", "model.packing=2"), "model.packing = 2: a pack has no single label"),
        (("model=gan", "model.pack_passes=all"), "model.pack_passes = all: must be member or"),
        (("model=gan", "model.generator_batch=0"), "model.generator_batch = 0: must be at least"),
        (("model=dcgan", "model.generator_batch=2"), "share_fakes=true reuses D's with the real"),
        (("model=gan", "loss=relativistic", "model.generator_batch=2"), "the loss pairs fakes"),
        (("model=dcgan", "model.packing=3"), "batch_size = 8: must be a multiple of model.packing"),
        (("model=dcgan", "model.augment=[blur]"), "must be a list of some of color, translation"),
        (("model=dcgan", "model.adversarial=0"), "the generator has nothing else to learn from"),
        (("model=unrolled", "model.unroll=-1"), "model.unroll = -1: must not be negative"),
        (("model=unrolled", "model.unroll_betas=[0,1]"), "unroll_betas = .*: must lie in"),
        (("model=unrolled", "runtime.compile=true"), "torch cannot compile"),
        (("model=infogan", "model.categories=1"), "model.categories = 1: must be at least 2"),
        (("model=infogan", "model.codes=0"), "model.codes = 0: must be at least 1"),
        (("model=dcgan", "data.size=4"), r"data.size = \[4,4\]: network=dcgan needs at least 6"),
        (("model=wgan_gp", "runtime.compile=true"), "torch cannot compile a penalty on gradients"),
        (
            ("model=dcgan", "data=ring", "network=dcgan"),
            "ring holds points of dimension 2; use network=mlp",
        ),
    ],
)
def test_what_cannot_run_is_refused(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        session_of(*overrides)


def test_what_contradicts_the_theory_is_said(caplog: pytest.LogCaptureFixture) -> None:
    session_of("model=dcgan", "loss=wasserstein", "data.split=test")
    assert "nothing that bounds the critic's slope" in caplog.text
    caplog.clear()
    session_of("model=dcgan", "penalty=r1", "data.split=test")
    assert "makes a sample's output depend on the others" in caplog.text
    caplog.clear()
    session_of("model=wgan_gp", "data.split=test")
    assert caplog.text == ""


class TestInfoGAN:
    """The bound of the mutual information (Chen et al. 2016, Eq. 5)."""

    def model(self, *overrides: str) -> InfoGAN:
        model = session_of("model=infogan", "data.split=test", *overrides).model
        assert isinstance(model, InfoGAN)
        return model.eval()

    def test_a_perfect_q_gives_the_entropy(self) -> None:
        model = self.model("model.code_deviation=0.001")
        z = model.prior.sample(50)
        parts = model.prior.split(z)
        model.recognition = torch.nn.Identity()  # type: ignore[assignment]
        outputs = torch.cat([1000 * parts["category"], parts["codes"]], dim=1)
        bounds = model.bounds(outputs, z)
        assert bounds["categorical"].item() == pytest.approx(math.log(10), abs=1e-5)
        # A Gaussian of deviation s around the truth: log 2 - log(s sqrt(2 pi)) for each code.
        code = math.log(2) - math.log(0.001 * math.sqrt(2 * math.pi))
        assert bounds["continuous"].item() == pytest.approx(2 * code, rel=1e-5)
        assert bounds["total"].item() == pytest.approx(math.log(10) + 2 * code, rel=1e-5)

    def test_a_q_that_knows_nothing_gives_0_for_the_category(self) -> None:
        model = self.model()
        z = model.prior.sample(50)
        model.recognition = torch.nn.Identity()  # type: ignore[assignment]
        bounds = model.bounds(torch.zeros(50, 12), z)
        assert bounds["categorical"].item() == pytest.approx(0.0, abs=1e-6)

    def test_a_learned_deviation(self) -> None:
        model = self.model("model.code_deviation=null")
        z = model.prior.sample(50)
        codes = model.prior.split(z)["codes"]
        model.recognition = torch.nn.Identity()  # type: ignore[assignment]
        outputs = torch.cat([torch.zeros(50, 10), codes, torch.full((50, 2), math.log(0.1))], dim=1)
        code = math.log(2) - math.log(0.1 * math.sqrt(2 * math.pi))
        assert model.bounds(outputs, z)["continuous"].item() == pytest.approx(2 * code, rel=1e-5)

    def test_gaussian_likelihood(self) -> None:
        x, mean = torch.randn(2, 20).double()
        deviation = torch.rand(20).double() + 0.1
        expected = torch.distributions.Normal(mean, deviation).log_prob(x)
        got = gaussian_log_likelihood(x, mean, deviation.log())
        torch.testing.assert_close(got, expected)

    def test_both_players_want_the_bound(self) -> None:
        """The term stands in both losses, with its weight."""
        model = self.model("model.information=3")
        session = session_of("model=infogan", "data.split=test", "model.information=3")
        batch = session.stream.batch(0)
        for loss in (model.discriminator_loss, model.generator_loss):
            totals = []
            for weight in (0.0, 3.0):
                model.information = weight
                torch.manual_seed(0)
                totals.append(loss(batch).total)
            torch.manual_seed(0)
            z = model.prior.sample(len(batch))
            bound = model.bounds(model.discriminator.features(model.generate(z)), z)["total"]
            torch.testing.assert_close(totals[0] - totals[1], 3 * bound, rtol=1e-4, atol=1e-4)

    def test_rows_and_sweeps(self) -> None:
        model = self.model("data=mnist")
        pictures = model.pictures(model.prior.sample(64))
        assert {"samples/categories", "samples/code_1", "samples/code_2"} <= pictures.keys()
        assert all(
            pictures[name].columns == 10 for name in ("samples/categories", "samples/code_1")
        )
        assert len(pictures["samples/code_2"].images) == 100
