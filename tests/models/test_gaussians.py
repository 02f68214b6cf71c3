"""Mixtures of Gaussians against torch's distributions and against EM written out in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import (
    Categorical,
    Independent,
    LowRankMultivariateNormal,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)

from gan_cli.models.gaussians import Diagonal, Full, GaussianMixture, Gaussians, LowRank, plus_plus

K, D, RANK, FLOOR = 3, 4, 2, 1e-6
KINDS = ["diagonal", "full", "low_rank"]


def gaussians(kind: str, k: int = K, d: int = D, floor: float = FLOOR) -> Gaussians:
    """Random ones of a kind, in float64."""
    torch.manual_seed(1)
    made = {
        "diagonal": lambda: Diagonal(k, d, floor),
        "full": lambda: Full(k, d, floor),
        "low_rank": lambda: LowRank(k, d, floor, RANK),
    }[kind]()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
    return made.double()


def mixture(kind: str, **settings: float) -> GaussianMixture:
    made = GaussianMixture(gaussians(kind, **settings)).double()  # type: ignore[arg-type]
    with torch.no_grad():
        made.logits.copy_(torch.linspace(0, 1, len(made.logits)))
    return made


def covariances(made: Gaussians) -> Tensor:
    """Of each, [K, D, D]."""
    if isinstance(made, Full):
        return made.factor() @ made.factor().mT
    variance = (2 * made.log_deviation).exp()  # type: ignore[union-attr]
    if isinstance(made, LowRank):
        noise = variance.view(-1, 1, 1) * torch.eye(made.means.shape[1])
        return made.loadings @ made.loadings.mT + noise
    return torch.diag_embed(variance)


def truth(made: GaussianMixture) -> MixtureSameFamily:
    parts = made.gaussians
    if isinstance(parts, Full):
        each = MultivariateNormal(parts.means, scale_tril=parts.factor())
    elif isinstance(parts, LowRank):
        noise = (2 * parts.log_deviation).exp().unsqueeze(1).expand_as(parts.means)
        each = LowRankMultivariateNormal(parts.means, parts.loadings, noise)
    else:
        assert isinstance(parts, Diagonal)
        each = Independent(Normal(parts.means, parts.log_deviation.exp()), 1)
    return MixtureSameFamily(Categorical(logits=made.logits), each)


def points(n: int = 200, d: int = D) -> Tensor:
    """Three groups, float64."""
    torch.manual_seed(2)
    centres = 3 * torch.randn(3, d, dtype=torch.float64)
    return centres[torch.arange(n) % 3] + torch.randn(n, d, dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
class TestDensity:
    def test_is_that_of_torchs_distributions(self, kind: str) -> None:
        made, x = mixture(kind), 2 * points()
        torch.testing.assert_close(made.log_density(x), truth(made).log_prob(x))

    def test_is_the_same_in_parts(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        made, x = mixture(kind), points()
        whole, moments = made.log_density(x), made.expect(x)[0]
        for module in ("gaussians",):
            monkeypatch.setattr(f"gan_cli.models.{module}.NUMBERS", 7 * D)
        torch.testing.assert_close(made.log_density(x), whole)
        torch.testing.assert_close(made.expect(x)[0], moments)

    def test_of_narrow_gaussians_far_from_0_survives_float32(self, kind: str) -> None:
        made = mixture(kind)
        with torch.no_grad():
            made.gaussians.means.add_(100)
            made.gaussians.log_deviation.sub_(5)
            if isinstance(made.gaussians, Full):
                made.gaussians.below.mul_(math.exp(-5))
        torch.manual_seed(0)
        exact = made.sample(100)
        # float32 keeps points near 100 to 4e-6, and a deviation is about .003.
        there = made.float().log_density(exact.float())
        x = exact.float().double()
        torch.testing.assert_close(
            there.double(), made.double().log_density(x), rtol=2e-3, atol=2e-3
        )

    def test_is_not_rounded_to_bf16(self, kind: str) -> None:
        made, x = mixture(kind).float(), points().float()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            there = made.log_density(x)
        assert torch.equal(there, made.log_density(x))

    def test_samples_have_its_moments(self, kind: str) -> None:
        made, n = mixture(kind), 20_000
        torch.manual_seed(3)
        x = made.sample(n)
        weights = made.weights.view(-1, 1)
        mean = (weights * made.gaussians.means).sum(0)
        gaps = made.gaussians.means - mean
        spread = covariances(made.gaussians) + gaps.unsqueeze(2) * gaps.unsqueeze(1)
        covariance = (weights.unsqueeze(2) * spread).sum(0)
        error = covariance.diagonal().sqrt() / n**0.5  # four standard errors
        assert ((x.mean(0) - mean).abs() < 4 * error).all()
        scale = torch.outer(error, error).sqrt() * covariance.diagonal().max().sqrt()
        assert ((x.T.cov() - covariance).abs() < 8 * scale).all()


def mahalanobis_em(made: GaussianMixture, x: np.ndarray) -> tuple[np.ndarray, ...]:
    """Responsibilities and raw weighted moments, in numpy from the covariances."""
    means = made.gaussians.means.detach().numpy()
    covariance = covariances(made.gaussians).detach().numpy()
    logs = made.logits.detach().log_softmax(0).numpy()
    terms = []
    for weight, mean, c in zip(logs, means, covariance, strict=True):
        gap = x - mean
        squared = np.einsum("nd,de,ne->n", gap, np.linalg.inv(c), gap)
        terms.append(weight - (squared + np.linalg.slogdet(2 * np.pi * c)[1]) / 2)
    joint = np.stack(terms)
    shares = np.exp(joint - joint.max(0))
    shares /= shares.sum(0)
    mean = shares @ x / shares.sum(1, keepdims=True)
    second = np.einsum("kn,nd,ne->kde", shares, x, x) / shares.sum(1)[:, None, None]
    return shares.mean(1), mean, second - np.einsum("kd,ke->kde", mean, mean)


@pytest.mark.parametrize("kind", ["diagonal", "full"])
def test_a_step_of_em_is_that_of_numpy(kind: str) -> None:
    made, x = mixture(kind), points()
    weights, means, scatter = mahalanobis_em(made, x.numpy())
    made.maximise(made.expect(x)[0])
    np.testing.assert_allclose(made.weights.detach().numpy(), weights, rtol=1e-9)
    np.testing.assert_allclose(made.gaussians.means.detach().numpy(), means, rtol=1e-9)
    found = covariances(made.gaussians).detach().numpy()
    if kind == "diagonal":
        scatter = scatter * np.eye(D)
    np.testing.assert_allclose(found, scatter, rtol=1e-8, atol=1e-12)


def test_a_step_of_em_with_latents_is_that_of_numpy() -> None:
    """With S, the covariance of a component's points, as Tipping and Bishop 1999 write it (C.14).

    z's covariance is free and written into W afterwards, as in PX-EM (Liu et al. 1998).
    """
    made, x = mixture("low_rank"), points()
    parts = made.gaussians
    assert isinstance(parts, LowRank)
    weights, means, scatter = mahalanobis_em(made, x.numpy())
    loadings = parts.loadings.detach().numpy().copy()
    noise = (2 * parts.log_deviation).exp().detach().numpy()
    made.maximise(made.expect(x)[0])
    np.testing.assert_allclose(made.weights.detach().numpy(), weights, rtol=1e-9)
    np.testing.assert_allclose(parts.means.detach().numpy(), means, rtol=1e-9)
    for k in range(K):
        w, s, c = loadings[k], noise[k], scatter[k]
        inverse = np.linalg.inv(w.T @ w + s * np.eye(RANK))  # M^-1
        cross, latent = c @ w @ inverse, s * inverse + inverse @ w.T @ c @ w @ inverse
        new = cross @ np.linalg.inv(latent)
        variance = np.trace(c - new @ cross.T) / D
        expected = new @ latent @ new.T + variance * np.eye(D)
        found = covariances(parts)[k].detach().numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_of_em_leaves_moments_that_lead_to_the_same(kind: str) -> None:
    made, x = mixture(kind), points()
    seen = made.maximise(made.expect(x)[0])
    before = covariances(made.gaussians).detach()
    torch.testing.assert_close(made.maximise(seen), seen)
    torch.testing.assert_close(covariances(made.gaussians).detach(), before)


def test_em_ends_at_the_principal_components() -> None:
    """W W^T = U (L - s I) U^T, s the mean of the eigenvalues left (Tipping and Bishop 1999)."""
    torch.manual_seed(0)
    x = torch.randn(500, 5, dtype=torch.float64) * torch.tensor([3.0, 2.0, 0.5, 0.4, 0.3])
    x = x @ torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64)).Q + 1
    made = GaussianMixture(LowRank(1, 5, FLOOR, 2)).double()
    made.begin(x)
    for _ in range(60):
        made.maximise(made.expect(x)[0])
    values, vectors = torch.linalg.eigh(x.T.cov(correction=0))
    noise = values[:3].mean()
    top = vectors[:, 3:]
    closed = top @ torch.diag(values[3:] - noise) @ top.T + noise * torch.eye(5)
    torch.testing.assert_close(covariances(made.gaussians)[0], closed, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(made.gaussians.means[0], x.mean(0), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("floor", [FLOOR, 0.5])
def test_em_never_lowers_the_likelihood(kind: str, floor: float) -> None:
    made, x = mixture(kind, k=5, floor=floor), points()
    made.gaussians.keep_above_floor()
    made.begin(x)
    course = []
    for _ in range(30):
        moments, log_density = made.expect(x)
        course.append(log_density.mean().item())
        made.maximise(moments)
        least = torch.linalg.eigvalsh(covariances(made.gaussians)).min().item()
        assert least > floor * (1 - 1e-9)
    assert np.diff(course).min() > -1e-12
    assert course[-1] > course[0] + 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_moments_of_halves_merge_into_those_of_the_whole(kind: str) -> None:
    made, x = mixture(kind), points()
    whole, few, rest = (made.expect(part)[0] for part in (x, x[:50], x[50:]))
    torch.testing.assert_close(made.gaussians.merge(few, rest, 0.75), whole)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_component_stays_and_harms_nothing(kind: str) -> None:
    made, x = mixture(kind).float(), points().float()
    with torch.no_grad():
        made.gaussians.means[1] = 1e4
    before = {name: value[1].clone() for name, value in made.gaussians.state_dict().items()}
    for _ in range(3):
        moments, _ = made.expect(x)
        made.maximise(moments)
    assert all(torch.equal(made.gaussians.state_dict()[name][1], v) for name, v in before.items())
    assert made.weights[1] < 1e-20
    assert made.log_density(x).isfinite().all()
    assert made.sample(50).abs().max() < 1e3


@pytest.mark.parametrize("kind", KINDS)
def test_equal_points_end_at_the_floor(kind: str) -> None:
    made, x = mixture(kind, floor=0.01).float(), torch.ones(20, D)
    made.begin(x)
    for _ in range(3):
        moments, _ = made.expect(x)
        made.maximise(moments)
    expected = -D / 2 * math.log(2 * math.pi * 0.01)
    torch.testing.assert_close(made.log_density(x), torch.full((20,), expected))


def test_plus_plus_takes_one_point_of_each_far_group() -> None:
    torch.manual_seed(0)
    centres = 100.0 * torch.arange(6).view(-1, 1)
    x = (centres + torch.rand(6, 50)).view(-1, 1)
    for _ in range(10):
        means, squared = plus_plus(x, 6)
        assert sorted((means / 100).int().flatten().tolist()) == [0, 1, 2, 3, 4, 5]
        torch.testing.assert_close(squared, (x - means.T).square().min(1).values)


def test_plus_plus_chooses_by_squared_distance() -> None:
    """Of 0, 1 and 3 after 0: 1 with a chance of 1 in 10, 3 with 9 in 10."""
    torch.manual_seed(0)
    x = torch.tensor([[0.0], [1.0], [3.0]])
    seconds = [
        means[1].item() for means, _ in (plus_plus(x, 2) for _ in range(900)) if means[0] == 0
    ]
    share, error = np.mean(np.array(seconds) == 1), math.sqrt(0.09 / len(seconds))
    assert abs(share - 0.1) < 4 * error
