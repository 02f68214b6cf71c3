"""Translation of images: what its networks can do, and its losses."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from composing import session_of
from playing import advance
from torch import Tensor, nn
from torch.nn.functional import softplus

from gan_cli.data.paths import Paths
from gan_cli.errors import ConfigError
from gan_cli.model import Batch, DataSpec, Grid, HasViews
from gan_cli.models.translation import (
    CycleGAN,
    ImagePool,
    InputMemory,
    Pix2Pix,
    cross_entropy,
    rows_of,
)
from gan_cli.networks.translation import PatchDiscriminator, ResNets, SRResNets, UNet, UNets

SMALL = ("data.split=test", "network.width=8", "network.discriminator_width=8")
OWN = {
    "srgan": (*SMALL, "model.pretrain=0", "network.blocks=2"),
    "context_encoder": SMALL,
}
DERIVED = ("data=derived", *SMALL)


def paired(**settings) -> Pix2Pix:
    from gan_cli.losses import NonSaturating
    from gan_cli.penalties import NoPenalty

    torch.manual_seed(0)
    data = DataSpec("pairs", (3, 32, 32), 10, source=(1, 32, 32))
    family = UNets(width=4, discriminator_width=4, dropout=0.0)
    return Pix2Pix(data, family, NonSaturating(), NoPenalty(), **settings).eval()


def batch(n: int = 2) -> Batch:
    torch.manual_seed(3)
    real, source = torch.rand(n, 3, 32, 32) * 2 - 1, torch.rand(n, 1, 32, 32) * 2 - 1
    return Batch(torch.arange(n), lambda i: real[i], lambda i: None, lambda i: source[i])


class TestNetworks:
    @pytest.mark.parametrize("size", [(28, 28), (32, 48), (33, 20)])
    @pytest.mark.parametrize("family", [UNets(width=4), ResNets(width=4, blocks=1)])
    def test_any_size_comes_back(self, family, size: tuple[int, int]) -> None:
        network = family.translator((1, 28, 28), (3, 28, 28)).eval()
        found = network(torch.zeros(2, 1, *size))
        assert found.shape == (2, 3, *size)
        assert found.abs().max() <= 1

    def test_the_published_u_net_at_256_pixels(self) -> None:
        """54.4 million weights, as the authors' unet_256 with 3 channels has."""
        network = UNets().translator((3, 256, 256), (3, 256, 256))
        assert sum(p.numel() for p in network.parameters()) == 54_413_955

    def test_the_published_resnet_and_patch_discriminator(self) -> None:
        """11.378 and 2.765 million, as CycleGAN's authors' code prints them (9 blocks; 70 px)."""
        network = ResNets(blocks=9).translator((3, 256, 256), (3, 256, 256))
        assert sum(p.numel() for p in network.parameters()) == 11_378_179
        patches = ResNets().discriminator(DataSpec("x", (3, 256, 256), 1))
        assert sum(p.numel() for p in patches.parameters()) == 2_764_737

    def test_a_patch_discriminator_sees_70_pixels(self) -> None:
        network = PatchDiscriminator(1, 4, 3, "none").double()
        x = torch.zeros(1, 1, 128, 128, dtype=torch.float64, requires_grad=True)
        outputs = network.outputs(network.trunk(x))[0, 0]
        (gradient,) = torch.autograd.grad(outputs[7, 7], x)
        rows = gradient[0, 0].abs().sum(1).nonzero()
        assert len(rows) == 70

    def test_super_resolution_by_4(self) -> None:
        network = SRResNets(width=4, blocks=1).translator((3, 8, 8), (3, 32, 32)).eval()
        assert network(torch.zeros(1, 3, 10, 6)).shape == (1, 3, 40, 24)

    def test_dropout_stays_on_as_the_generator_s_noise(self) -> None:
        network = UNets(width=4, dropout=0.5).translator((1, 32, 32), (1, 32, 32)).eval()
        nn.init.normal_(network.get_parameter("up.0.1.weight"))
        x = torch.rand(2, 1, 32, 32)
        assert not torch.equal(network(x), network(x))

    def test_without_connections_across_all_goes_through_one_pixel(self) -> None:
        network = UNets(width=4, skips=False, dropout=0).translator((1, 32, 32), (1, 32, 32))
        assert network.eval()(torch.rand(1, 1, 32, 32)).shape == (1, 1, 32, 32)

    @pytest.mark.parametrize(
        ("overrides", "message"),
        [
            (("model=srgan", "data.input=edges"), "makes sides 2, 4 or 8 times larger"),
            (("model=pix2pix", "data.input=low"), "needs inputs as large as targets"),
            (("model=pix2pix", "network.dropout=1"), "network.dropout = 1: must be at least 0"),
            (
                ("model=pix2pix", "network.discriminator_layers=5"),
                "images of 28x28 pixels are too small; set network.discriminator_layers=3",
            ),
            (("model=pix2pix", "data=mnist"), "data = mnist: has no inputs beside its images"),
            (("model=srgan", "data=low_resolution", "data.size=30"), r"set data.size=\[28,28\]"),
            (("model=pix2pix", "model.l1=0", "model.adversarial=0"), "nothing to learn from"),
            (("model=cyclegan", "model.pool=-1"), "model.pool = -1: must not be negative"),
            (
                ("model=cyclegan", "data.of=fashion_mnist", "data.input=colour"),
                "data.input = colour: must be one of edges",
            ),
        ],
    )
    def test_what_cannot_be(self, overrides: tuple[str, ...], message: str) -> None:
        model, *rest = overrides
        own = () if "data=mnist" in rest else DERIVED
        with pytest.raises(ConfigError, match=message):
            session_of(model, *own, *rest)

    @pytest.mark.parametrize("norm", ["batch", "instance"])
    @pytest.mark.parametrize("layers", [1, 2, 3])
    def test_the_smallest_images_that_patches_can_be_of(
        self, norm: Literal["batch", "instance"], layers: int
    ) -> None:
        family = UNets(width=4, discriminator_layers=layers, discriminator_norm=norm)
        side = 3 * 2**layers
        network = family.discriminator(DataSpec("", (1, side, side), 1))
        assert network(torch.rand(2, 1, side, side)).shape == (2,)
        with pytest.raises(ConfigError, match=f"{side - 1}x{side - 1} pixels are too small"):
            family.discriminator(DataSpec("", (1, side - 1, side - 1), 1))

    @pytest.mark.parametrize("size", [(1, 1), (2, 9), (3, 4), (5, 5), (17, 30)])
    def test_a_resnet_translates_images_of_any_size(self, size: tuple[int, int]) -> None:
        network = ResNets(width=2, blocks=1).translator((1, 32, 32), (1, 32, 32))
        assert network(torch.rand(2, 1, *size)).shape == (2, 1, *size)


class TestPix2Pix:
    def test_the_generator_s_loss(self) -> None:
        """Isola et al. 2017, Eq. 4, with D on input and image together."""
        model, some = paired(l1=100.0, l2=2.0), batch()
        fake = model.generator(some.source)
        d = model.discriminator(torch.cat([some.source, fake], dim=1))
        expected = softplus(-d).mean() + 100 * (fake - some.real).abs().mean()
        expected = expected + 2 * (fake - some.real).square().mean()
        torch.testing.assert_close(model.generator_loss(some).total, expected)

    def test_peak_signal_to_noise(self) -> None:
        """10 log10(L^2 / MSE) with L = 2, the range of values."""
        logs = paired()._logs(torch.tensor(0.1), torch.tensor(0.04))
        assert logs["psnr"].item() == pytest.approx(20.0)

    def test_the_control_has_no_discriminator(self) -> None:
        assert [phase.name for phase in paired(adversarial=0.0).phases()] == ["generator"]

    def test_cross_entropy_per_pixel(self) -> None:
        """Of probabilities .75 and .5 where the truth is white and black; a mean over pixels."""
        output, target = torch.tensor([0.5, 0.0]), torch.tensor([1.0, -1.0])
        expected = -(math.log(0.75) + math.log(0.5)) / 2
        assert cross_entropy(output, target).item() == pytest.approx(expected)
        model, some = paired(adversarial=0.0, l1=0.0, cross_entropy=2.0), batch()
        found = model.generator_loss(some)
        torch.testing.assert_close(found.total, 2 * found.logs["cross_entropy"])

    def test_cross_entropy_is_least_at_the_mean(self) -> None:
        """Independent outputs average: of targets -1, 1, 1, 1 the best output is .5."""
        target = torch.tensor([-1.0, 1.0, 1.0, 1.0])
        outputs = torch.linspace(-0.9, 0.9, 37)
        losses = torch.stack([cross_entropy(o.expand(4), target) for o in outputs])
        assert outputs[losses.argmin()].item() == pytest.approx(0.5)

    def test_errors_alone_at_first(self) -> None:
        phases = {phase.name: phase for phase in paired(pretrain=5).phases()}
        active = {
            step: [name for name, phase in phases.items() if phase.repeats(step)]
            for step in (0, 4, 5)
        }
        assert active[0] == active[4] == ["reconstruction"]
        assert active[5] == ["discriminator", "generator"]

    @pytest.mark.slow
    def test_it_learns_to_copy(self) -> None:
        """The target is the input itself: the error falls to a fraction."""
        session = session_of(
            "model=pix2pix", *DERIVED, "data.input=half", "optimizer.lr=2e-3", "network.depth=2"
        )
        assert isinstance(session.model, Pix2Pix)
        some = session.stream.batch(0)
        upper = (slice(None), slice(None), slice(0, 14))

        def error() -> float:
            with session.trainer.sampling() as model:
                assert isinstance(model, Pix2Pix)
                return (model.translate(some.source) - some.real)[upper].abs().mean().item()

        before = error()
        advance(session, 60)
        assert error() < before / 3

    @pytest.mark.slow
    def test_independent_pixels_learn_the_share_of_paths_through_each(self) -> None:
        """They come near the exact marginals, a third of their mean distance from black."""
        session = session_of(
            *("model=pix2pix", "data=paths", "data.side=8", "data.ends=2", "batch_size=64"),
            *("model.adversarial=0", "model.l1=0", "model.cross_entropy=1", "network.dropout=0"),
            *("optimizer.lr=5e-3", "optimizer.schedule=cosine", "network.discriminator_width=8"),
        )
        data, index = session.dataset, torch.arange(200)
        assert isinstance(data, Paths)
        labels = data.labels(index)
        assert labels is not None
        truth = data.marginals(labels)
        advance(session, 200)
        with session.trainer.sampling() as model:
            assert isinstance(model, Pix2Pix)
            found = (model.translate(data.source(index)) + 1) / 2
        assert (found - truth).abs().mean() < truth.mean() / 3
        assert not data.valid(found * 2 - 1, labels).any()


class TestCycleGAN:
    def test_the_losses(self) -> None:
        """Half of Zhu et al.'s squared error of G, beside half of their weights, 10 and 5."""
        session = session_of("model=cyclegan", *DERIVED, "model.identity=2.5", "model.pool=0")
        model, some = session.model.eval(), session.stream.batch(0)
        assert isinstance(model, CycleGAN)
        there, here = model.generator(some.source), model.inverse(some.real)
        games = (model.discriminator(there) - 1).square().mean() / 2
        games = games + (model.input_discriminator(here) - 1).square().mean() / 2
        cycles = (model.inverse(there) - some.source).abs().mean()
        cycles = cycles + (model.generator(here) - some.real).abs().mean()
        same = (model.generator(some.real) - some.real).abs().mean()
        same = same + (model.inverse(some.source) - some.source).abs().mean()
        found = model.generator_loss(some).total
        torch.testing.assert_close(found, games + 5 * cycles + 2.5 * same, rtol=1e-4, atol=1e-5)

    def test_both_critics_of_dualgan_are_clipped(self) -> None:
        session = session_of("model=dualgan", *DERIVED)
        advance(session, 1)
        assert isinstance(session.model, CycleGAN)
        for critic in (session.model.discriminator, session.model.input_discriminator):
            assert max(p.abs().max().item() for p in critic.parameters()) == pytest.approx(0.01)

    def test_a_full_pool_gives_half_of_its_images_and_takes_as_many(self) -> None:
        torch.manual_seed(0)
        pool = ImagePool(50, (1, 1, 1))
        first = torch.arange(50.0).view(50, 1, 1, 1)
        assert torch.equal(pool(first[:30]), first[:30])
        assert torch.equal(pool(first[30:]), first[30:])
        fresh = torch.full((40, 1, 1, 1), 100.0)
        shown = pool(fresh)
        old = (shown < 100).sum().item()
        assert 10 <= old <= 30
        assert (pool.images[:50] == 100).sum().item() == old
        assert len(shown[shown < 100].unique()) == old

    def test_a_pool_that_fills_within_a_batch_shows_nothing_empty(self) -> None:
        for seed in range(20):
            torch.manual_seed(seed)
            pool = ImagePool(50, (1, 1, 1))
            seen = [pool(torch.full((32, 1, 1, 1), 1.0 + step)) for step in range(4)]
            assert torch.cat(seen).min() >= 1
            assert pool.images[:50].min() >= 1

    def test_running_statistics_are_of_real_inputs_alone(self) -> None:
        """What comes back is computed from translations, which evaluation does not put in."""
        session = session_of("model=discogan", *DERIVED, "network.width=4", "network.depth=2")
        game, some = session.model, session.stream.batch(0)
        assert isinstance(game, CycleGAN)
        game.identity = 1.0
        seen: list[Tensor] = []
        assert isinstance(game.inverse, UNet)
        layer = next(m for m in game.inverse.modules() if isinstance(m, nn.BatchNorm2d))
        layer.register_forward_pre_hook(
            lambda module, inputs: seen.append(inputs[0]) if module.track_running_stats else None
        )
        game.generator_loss(some)
        (recorded,) = seen
        with torch.no_grad():
            code = some.real
            for part in game.inverse.down:
                code = part(code)
            first = game.inverse.up[0]
            assert isinstance(first, nn.Sequential)
            expected = first[:2](code)
        torch.testing.assert_close(recorded, expected)
        assert layer.track_running_stats

    def test_a_pool_of_none_hands_on(self) -> None:
        x = torch.rand(3, 1, 2, 2)
        assert torch.equal(ImagePool(0, (1, 2, 2))(x), x)


def test_inputs_are_kept_until_the_memory_is_full() -> None:
    memory = InputMemory((1, 1, 1))
    levels = torch.arange(0, 200).view(200, 1, 1, 1) / 127.5 - 1
    memory.record(levels)
    assert memory.count == 200
    memory.record(levels)
    assert memory.count == 256
    kept = memory.images[:256].flatten().tolist()
    assert kept[:200] == list(range(200))
    assert kept[200:] == list(range(56))
    torch.manual_seed(0)
    assert set(((memory.draw(1000) + 1) * 127.5).round().flatten().int().tolist()) <= set(
        range(200)
    )


def test_rows_of_grey_and_small_images_beside_coloured_ones() -> None:
    like = torch.zeros(10, 3, 8, 8)
    grid = rows_of([torch.ones(10, 1, 2, 2), like], like)
    assert grid.columns == 8
    assert grid.images.shape == (20, 3, 8, 8)
    assert grid.images[:8].min() == 1
    assert grid.images[8:16].max() == 0


@pytest.mark.parametrize("model", ["pix2pix", "srgan", "context_encoder", "cyclegan"])
def test_pictures_and_samples_need_the_run_alone(model: str) -> None:
    session = session_of(f"model={model}", *OWN.get(model, DERIVED))
    advance(session, 2)
    some = session.stream.batch(0)
    with session.trainer.sampling() as sampler:
        assert isinstance(sampler, HasViews)
        views = sampler.views(some, session.dataset.log_density)
        samples: Tensor = sampler.sample(5)
    assert samples.shape == (5, *session.dataset.spec.shape)
    grid = views["samples/translation"]
    assert isinstance(grid, Grid)
    assert len(grid.images) == 3 * len(some)
