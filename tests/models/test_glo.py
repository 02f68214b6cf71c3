"""A generator whose images have codes of their own."""

from __future__ import annotations

import pytest
import torch
from composing import session_of
from playing import advance, check_that_resuming_is_exact

from gan_cli.errors import ConfigError
from gan_cli.models import glo
from gan_cli.models.glo import (
    GLO,
    Codes,
    doubling,
    expand,
    halving,
    lap1,
    projected,
    pyramid,
    reduce,
)
from gan_cli.training.setup import Session

SMALL_SET = ("model=glo", "data=ring", "network=mlp", "data.points=200", "data.modes=1")


def model_of(session: Session) -> GLO:
    assert isinstance(session.model, GLO)
    return session.model


class TestLaplacian:
    """Burt and Adelson 1983; Bojanowski et al. 2018, section 3.2."""

    def test_a_line_by_hand(self) -> None:
        # Places 0, 2 and 4 of five, with the ends repeated: (1 4 6 4 1) / 16 around each.
        expected = [[11, 4, 1, 0, 0], [1, 4, 6, 4, 1], [0, 0, 1, 4, 11]]
        assert (16 * halving(5)).tolist() == expected
        # Back: even places see 1 6 1 of the three, odd ones 4 4; each row sums to 1.
        rows = [[6 / 7, 1 / 7, 0], [1 / 2, 1 / 2, 0], [1 / 8, 6 / 8, 1 / 8]]
        torch.testing.assert_close(doubling(5)[:3], torch.tensor(rows, dtype=torch.float64))

    def test_halving_is_a_convolution(self) -> None:
        x = torch.randn(2, 3, 9, 12, dtype=torch.float64)
        line = torch.tensor([1.0, 4, 6, 4, 1], dtype=torch.float64) / 16
        kernel = torch.outer(line, line).expand(3, 1, 5, 5)
        padded = torch.nn.functional.pad(x, (2, 2, 2, 2), mode="replicate")
        blurred = torch.nn.functional.conv2d(padded, kernel, stride=2, groups=3)
        torch.testing.assert_close(reduce(x), blurred)

    @pytest.mark.parametrize("size", [(28, 28), (17, 32), (3, 3)])
    def test_the_pyramid_holds_all_of_the_image(self, size: tuple[int, int]) -> None:
        x = torch.rand(2, 3, *size, dtype=torch.float64)
        levels = pyramid(x)
        whole = levels[-1]
        for level in reversed(levels[:-1]):
            whole = level + expand(whole, (level.shape[2], level.shape[3]))
        torch.testing.assert_close(whole, x)
        assert levels[0].shape[2:] == size
        assert min(levels[-1].shape[2:]) < 4

    def test_a_constant_is_at_the_top_alone(self) -> None:
        levels = pyramid(torch.full((1, 1, 28, 28), 0.7, dtype=torch.float64))
        assert all(level.abs().max() < 1e-12 for level in levels[:-1])
        torch.testing.assert_close(levels[-1], torch.full_like(levels[-1], 0.7))
        assert expand(levels[-1], (4, 4)).std() < 1e-12

    def test_the_distance_by_hand(self) -> None:
        # Two levels of halving, 8 to 4 to 2: the four pixels left weigh 4^2 of 64: |difference|.
        x, y = torch.full((1, 1, 8, 8), 0.5), torch.full((1, 1, 8, 8), -0.25)
        assert lap1(x, y).tolist() == pytest.approx([0.75])
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(3, 1, 8, 8, generator=generator, dtype=torch.float64)
        first, second, rest = pyramid(x)
        sums = [level.abs().flatten(1).sum(1) for level in (first, second, rest)]
        expected = (sums[0] + 4 * sums[1] + 16 * sums[2]) / 64
        torch.testing.assert_close(lap1(x, torch.zeros_like(x)), expected)
        assert lap1(x, x).tolist() == [0, 0, 0]


def test_projection_on_the_ball() -> None:
    z = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    torch.testing.assert_close(projected(z), torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))
    codes = Codes(z)
    codes.project()
    assert codes.table.norm(dim=1).max() <= 1 + 1e-6


def test_codes_stay_in_the_ball_and_others_stay_where_they_are() -> None:
    session = session_of(*SMALL_SET, "optimizer.lr=100", "prior.dim=3")
    model = model_of(session)
    assert model.codes is not None
    before = model.codes.table.detach().clone()
    batch = session.stream.batch(0)
    advance(session, 1)
    after = model.codes.table.detach()
    seen = torch.zeros(200, dtype=torch.bool).index_fill(0, batch.index, True)
    torch.testing.assert_close(before[~seen], after[~seen])  # but for projecting once more
    assert not torch.isclose(before[seen], after[seen]).all(1).any()
    assert after.norm(dim=1).max() <= 1 + 1e-6


def test_the_codes_gradient_is_that_of_their_own_images() -> None:
    """Whether it was kept by the generator's phase or is taken anew; times the batch's size."""
    session = session_of(*SMALL_SET, "prior.dim=3")
    model, batch = model_of(session), session.stream.batch(0)
    assert model.codes is not None
    gradients = []
    for kept in (True, False):
        model.zero_grad()
        if kept:
            model.generator_loss(batch)
        loss = model.codes_loss(batch)
        loss.total.backward()
        gradients.append(model.codes.table.grad[batch.index].clone())  # type: ignore[index]
    torch.testing.assert_close(gradients[0], gradients[1])
    z = model.codes.table.detach()[batch.index].requires_grad_()
    each = (model.decode(z) - batch.real).square().mean(1)
    torch.testing.assert_close(loss.total, each.mean())
    torch.testing.assert_close(gradients[0], torch.autograd.grad(each.sum(), z)[0])


def error_of(session: Session) -> float:
    """The mean squared error of the reconstructions of all samples."""
    batch = session.stream.batch(0).at(torch.arange(session.dataset.spec.size))
    with session.trainer.sampling() as model:
        assert isinstance(model, GLO)
        made = model.reconstruct(batch)
    assert made is not None
    return (made - batch.real).square().mean().item()


class TestLatents:
    """Learned, fixed, or drawn anew: 200 points of N((1, 0), .3^2 I)."""

    def trained(self, latents: str, *overrides: str) -> Session:
        session = session_of(
            *SMALL_SET,
            "data.deviation=0.3",
            "prior.dim=1",
            "network.width=16",
            "batch_size=50",
            "ema.decay=0.9",
            "optimizer.generator.lr=0.01",
            "optimizer.schedule=linear",
            "steps=200",
            f"model.latents={latents}",
            *overrides,
        )
        advance(session, 200)
        return session

    def test_learned_codes_reconstruct_what_fixed_ones_cannot(self) -> None:
        """With one code for two coordinates. Drawn codes leave the points' own variance."""
        learned = error_of(self.trained("learned"))
        fixed = self.trained("fixed")
        drawn = self.trained("drawn")
        points = fixed.dataset.real(torch.arange(200))
        variance = points.var(0, correction=0).mean().item()
        assert learned < 0.8 * error_of(fixed)  # .48 to .63 by the seed
        assert error_of(fixed) == pytest.approx(variance, rel=0.1)
        # What it draws is the mean: each coordinate within 4 of its standard errors of .3 / 14.
        with drawn.trainer.sampling() as model:
            samples = model.sample(500)
        assert (samples.mean(0) - points.mean(0)).abs().max() < 0.09
        assert error_of(drawn) == pytest.approx(variance, rel=0.1)

    def test_a_linear_generator_comes_near_pca(self) -> None:
        """Whose error is the least that a line can have (Eckart and Young 1936)."""
        session = self.trained("learned", "data.deviation=0.3")
        model = model_of(session)
        points = session.dataset.real(torch.arange(200)).double()
        model.generator = torch.nn.Linear(1, 2)  # type: ignore[assignment]
        assert model.codes is not None
        centred = points - points.mean(0)
        least = torch.linalg.svdvals(centred)[1].square().item() / points.numel()
        optimizers = [
            torch.optim.Adam(model.generator.parameters(), 0.02),
            torch.optim.SGD(model.codes.parameters(), 0.5),
        ]
        batch = session.stream.batch(0).at(torch.arange(200))
        for _ in range(300):
            for loss, optimizer in zip(
                (model.generator_loss, model.codes_loss), optimizers, strict=True
            ):
                optimizer.zero_grad()
                loss(batch).total.backward()
                optimizer.step()
            model.codes.project()
        error = (model.decode(model.codes.table) - points).square().mean().item()
        assert least <= error < 1.1 * least

    def test_fixed_codes_never_move(self) -> None:
        session = session_of(*SMALL_SET, "model.latents=fixed")
        model = model_of(session)
        assert model.codes is not None
        before = model.codes.table.clone()
        advance(session, 3)
        assert torch.equal(model.codes.table, before)
        assert [phase.name for phase in model.phases()] == ["generator"]

    def test_drawn_codes_have_no_table(self) -> None:
        model = model_of(session_of(*SMALL_SET, "model.latents=drawn"))
        assert model.codes is None
        assert not any("codes" in name for name in model.state_dict())


def test_samples_come_from_the_gaussian_that_fits_the_codes() -> None:
    model = model_of(session_of(*SMALL_SET, "prior.dim=2"))
    assert model.codes is not None
    torch.manual_seed(0)
    slant = torch.tensor([[0.3, 0.0], [0.2, 0.1]])
    with torch.no_grad():
        model.codes.table.copy_(torch.randn(200, 2) @ slant.T + torch.tensor([0.2, -0.1]))
    mean, root = model.fitted()
    table = model.codes.table.detach()
    torch.testing.assert_close(mean, table.mean(0))
    torch.testing.assert_close(root @ root.T, torch.cov(table.T, correction=0))
    z = torch.tensor([[1.0, -2.0]])
    torch.testing.assert_close(model.generate(z), model.decode(mean + (root @ z[0])[None]))


def test_reconstructions_go_by_the_place() -> None:
    session = session_of(*SMALL_SET, "prior.dim=2")
    batch = session.stream.batch(0)
    with session.trainer.sampling() as model:
        assert isinstance(model, GLO)
        some = model.reconstruct(batch)
        turned = model.reconstruct(batch.at(batch.index.flip(0)))
    assert some is not None
    assert turned is not None
    torch.testing.assert_close(some.flip(0), turned)


@pytest.mark.parametrize("latents", ["learned", "fixed", "drawn"])
def test_resuming_is_exact(latents: str) -> None:
    check_that_resuming_is_exact(
        3, "model=glo", "data.split=test", "network=mlp", f"model.latents={latents}"
    )


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("prior=uniform",), "model = glo: samples come from a Gaussian fitted .* prior=gaussian"),
        (("model.lap1=-1",), "model.lap1 = -1: must not be negative"),
        (("model.lap1=0", "model.l2=0"), "set model.l2=1 or model.lap1=1"),
        (("model.latents=frozen",), "model.latents"),
    ],
)
def test_what_cannot_run_is_refused(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        session_of("model=glo", "data.split=test", *overrides)


def test_points_have_no_pyramid() -> None:
    with pytest.raises(ConfigError, match=r"nothing is left to minimise; set model\.l2=1$"):
        session_of(*SMALL_SET, "model.l2=0")


def test_a_table_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glo, "total_memory", lambda: 1_000_000)
    message = (
        "prior.dim = 200: codes for 200 samples with their optimizer take 0.0 GB, more than half "
        "of this machine's memory; set prior.dim=156 or model.latents=drawn"
    )
    with pytest.raises(ConfigError, match=message):
        session_of(*SMALL_SET, "prior.dim=200")
    session_of(*SMALL_SET, "prior.dim=156")
    session_of(*SMALL_SET, "prior.dim=200", "model.latents=drawn")
