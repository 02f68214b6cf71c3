"""Directions in latent space where the truth is known."""

from typing import Any

import pytest
import torch
from test_samples import PRIOR, Toy
from torch import Tensor, nn

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec
from gan_cli.networks.dcgan import DCGAN
from gan_cli.networks.mlp import MLP
from gan_cli.priors import Categorical, Gaussian, Product, Uniform
from gan_cli.sampling import latents
from gan_cli.sampling.codes import Place
from gan_cli.sampling.directions import (
    Coordinate,
    Direction,
    activations,
    boundary,
    codes,
    coordinates,
    first_layer,
    ganspace,
    logistic,
    scaled,
    sefa,
)
from gan_cli.sampling.samples import SampleRequest
from gan_cli.sampling.sweeps import Sheet

AMOUNTS = torch.linspace(-3, 3, 5)
MNIST = DataSpec("mnist", (1, 28, 28), 60_000, 10)


class Decoder(Toy):
    """Images of 25 pixels by any network."""

    def __init__(self, network: nn.Module, dim: int, conditional: bool = False) -> None:
        super().__init__(Gaussian(dim), conditional)
        self.generator = network

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.generator(z) if y is None else self.generator(z, y)


def matrix(dim: int = 4) -> tuple[Tensor, Tensor]:
    """A matrix [25, dim] with singular values 8, 4, 2, 1, and its right singular vectors."""
    random = torch.Generator().manual_seed(0)
    left = torch.linalg.qr(torch.randn(25, dim, generator=random))[0]
    right = torch.linalg.qr(torch.randn(dim, dim, generator=random))[0]
    return left @ torch.diag(2.0 ** torch.arange(3, 3 - dim, -1)) @ right.T, right


def linear(weight: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data.copy_(weight)
    return layer


def test_sefa_finds_the_singular_vectors_of_the_first_layer() -> None:
    weight, right = matrix()
    model = Decoder(nn.Sequential(linear(weight), nn.Tanh(), nn.Linear(25, 25)), 4).eval()
    found = sefa(model, 3, AMOUNTS)
    assert [one.name for one in found] == ["sefa 1", "sefa 2", "sefa 3"]
    for k, one in enumerate(found):
        unit = one.vector / one.vector.norm()
        assert (unit @ right[:, k]).abs() == pytest.approx(1, abs=1e-5)
        assert one.vector[one.vector.abs().argmax()] > 0
    assert found[0].note == "75.3 % of the first layer's energy"  # 64 / 85
    with pytest.raises(ConfigError, match="--sefa 5: there are at most 4 directions"):
        sefa(model, 5, AMOUNTS)


def test_the_first_layer_may_come_after_a_linear_map() -> None:
    weight, _ = matrix()
    mixing = torch.randn(4, 4, generator=torch.Generator().manual_seed(1))

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = linear(weight)

        def forward(self, z: Tensor) -> Tensor:
            return self.layer(z @ mixing)

    found = first_layer(Decoder(Mixed(), 4).eval())
    torch.testing.assert_close(found.float(), weight @ mixing.T, atol=1e-5, rtol=1e-5)


def test_a_first_layer_behind_a_curve_is_refused() -> None:
    model = Decoder(nn.Sequential(nn.Tanh(), nn.Linear(4, 25)), 4).eval()
    with pytest.raises(ConfigError, match="no linear function of the latent; use --pca"):
        sefa(model, 1, AMOUNTS)
    with pytest.raises(ConfigError, match="no layer that directions could be of"):
        sefa(Decoder(nn.PReLU(), 25).eval(), 1, AMOUNTS)


def test_the_layers_of_our_networks_are_found() -> None:
    z = Gaussian(6).sample(70)
    conv = Decoder(DCGAN(width=4).generator(6, MNIST, 10), 6, conditional=True).eval()
    convolutions: Any = conv.generator.layers
    weight = convolutions[0].weight.detach()[:6].flatten(1).T
    torch.testing.assert_close(first_layer(conv).float(), weight, atol=1e-5, rtol=1e-4)
    family = MLP(width=8, depth=2, generator_norm="virtual_batch")
    dense = Decoder(family.generator(6, MNIST), 6).eval()
    layers: Any = dense.generator.layers
    torch.testing.assert_close(
        first_layer(dense).float(), layers[0].weight.detach(), atol=1e-5, rtol=1e-4
    )
    outputs, features = activations(dense, z)
    assert outputs.shape == features.shape == (70, 8)
    assert (features >= 0).all()  # after the activation
    torch.testing.assert_close(outputs, layers[0](z).detach(), atol=1e-5, rtol=1e-4)


def test_ganspace_regresses_latents_on_the_components() -> None:
    weight, right = matrix()
    model = Decoder(linear(weight), 4).eval()
    found = ganspace(model, SampleRequest(), 3, AMOUNTS)
    for k, one in enumerate(found):
        unit = one.vector / one.vector.norm()
        # Components of 4,096 samples turn by some 1/sqrt(4096) times 2 / 3.
        assert (unit @ right[:, k]).abs() == pytest.approx(1, abs=5e-3)
    share = float(found[0].note.removesuffix(" % of the features' variance"))
    assert share == pytest.approx(100 * 64 / 85, abs=2)
    again = ganspace(model, SampleRequest(), 3, AMOUNTS)
    assert all(torch.equal(a.vector, b.vector) for a, b in zip(found, again, strict=True))
    with pytest.raises(ConfigError, match="--pca 9: there are at most 4 directions"):
        ganspace(model, SampleRequest(), 9, AMOUNTS)


def test_a_boundary_is_found_and_its_accuracy_told() -> None:
    z = latents.of_seed(Gaussian(8), 3, torch.arange(3000))
    normal = torch.tensor([3.0, 4, 0, 0, 0, 0, 0, 0]) / 5
    found = boundary(Gaussian(8), z, z @ normal > 1, "class=7", AMOUNTS)
    assert (found.vector / found.vector.norm()) @ normal > 0.99
    assert found.vector.norm().item() == pytest.approx(1, abs=0.1)  # 1,000 draws: 2 % error
    share = float(found.note.partition(" %")[0])
    assert share == pytest.approx(15.87, abs=3 * 0.67)  # 1 - Phi(1), three standard errors
    accuracy = float(found.note.split("right on ")[1].split(" %")[0])
    assert accuracy > 95


def test_a_boundary_needs_samples_on_both_sides() -> None:
    z = latents.of_seed(Gaussian(8), 3, torch.arange(300))
    with pytest.raises(ConfigError, match="--toward class=7: 0 of 300 samples are; at least 50"):
        boundary(Gaussian(8), z, z[:, 0] > 9, "class=7", AMOUNTS)
    with pytest.raises(ConfigError, match="0 of 300 samples are not; at least 50 are needed"):
        boundary(Gaussian(8), z, z[:, 0] < 9, "class=7", AMOUNTS)


def test_a_logistic_regression_is_at_its_optimum_and_balanced() -> None:
    z = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    positive = z[:, 0] + 0.5 * torch.randn(200, generator=torch.Generator().manual_seed(1)) > 1
    found = logistic(z, positive)
    x = torch.cat([z, torch.ones(200, 1)], 1).double()
    sides = torch.where(positive, 100 / positive.sum(), 100 / (~positive).sum())
    gradient = x.T @ (sides * ((x @ found).sigmoid() - positive.double()))
    gradient[:2] += found[:2]
    assert gradient.abs().max() < 1e-5


def test_a_direction_is_as_long_as_the_prior_is_wide() -> None:
    assert scaled(Gaussian(3), torch.tensor([0.0, 5, 0])).norm().item() == pytest.approx(1, abs=0.1)
    uniform = scaled(Uniform(3), torch.tensor([0.0, 5, 0]))
    assert uniform.norm().item() == pytest.approx(3**-0.5, abs=0.05)


def test_coordinates_take_values_and_directions_are_added() -> None:
    prior = Product(noise=Gaussian(3), category=Categorical(4), codes=Uniform(2))
    z = prior.sample(2)
    category, code1, code2 = codes(prior, 3, None)
    assert [one.name for one in (category, code1, code2)] == ["category", "code1", "code2"]
    assert category.heads == ("0", "1", "2", "3")
    assert code1.heads == ("-1", "0", "1")
    assert codes(prior, 3, 2.0)[1].heads == ("-2", "0", "2")
    swept = category.along(z)
    assert swept.shape == (2, 4, 9)
    assert torch.equal(swept[0, :, 3:7], torch.eye(4))
    assert torch.equal(swept[1, 2, :3], z[1, :3])
    (noise, tilt) = coordinates(prior, [0, 8], 3, None)
    assert (noise.name, tilt.name) == ("noise1", "code2")
    assert noise.values.flatten().tolist() == [-3, 0, 3]
    assert code2.along(z)[:, :, 8].tolist() == [[-1, 0, 1]] * 2
    with pytest.raises(ConfigError, match="--dims 9: the latent has dimensions 0 to 8"):
        coordinates(prior, [9], 3, None)
    with pytest.raises(ConfigError, match="--codes: this model has no codes"):
        codes(Gaussian(2), 3, None)
    moved = Direction("x", torch.ones(9), torch.tensor([-1.0, 0, 2]))
    assert moved.heads == ("-1", "0", "+2")
    torch.testing.assert_close(moved.along(z)[:, 2], z + 2)


def test_a_sheet_has_a_row_for_each_sweep_and_sample() -> None:
    torch.manual_seed(0)
    model = Toy().eval()
    category = Coordinate(Place("category", 3, 4), torch.eye(4))
    noise = coordinates(PRIOR, [0], 3, None)[0]
    sheet = Sheet.draw(model, [category, noise], SampleRequest(), 2)
    assert [tuple(row.shape) for row in sheet.rows] == [(2, 4, 1, 5, 5), (2, 3, 1, 5, 5)]
    with torch.no_grad():
        z = latents.of_seed(PRIOR, 0, torch.arange(2))
        expected = model.generate(category.along(z)[1])
    torch.testing.assert_close(sheet.rows[0][1], expected)
    picture = sheet.picture(zoom=1)
    height = 4 * 7 + 2  # no heads, as the steps differ
    assert picture.shape[0] == height
    assert (picture[16:22, -7:] == 255).all()  # behind the shorter sweep
    frames = sheet.frames(zoom=1)
    assert len(frames) == 4
    assert len({frame.shape for frame in frames}) == 1
