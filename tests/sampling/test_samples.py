"""Samples: the same whatever way they are asked for."""

import pytest
import torch
from torch import Tensor, nn

from gan_cli.errors import ConfigError
from gan_cli.model import DataSpec, Model, Phase
from gan_cli.priors import Categorical, Gaussian, Prior, Product
from gan_cli.sampling.codes import Codes
from gan_cli.sampling.samples import CHUNK, SampleRequest, decode, draw, interpolate, latents

PRIOR = Product(noise=Gaussian(3), category=Categorical(4))


class Toy(Model):
    """Decodes latents with batch norm, which shows whether it is in eval mode."""

    def __init__(self, prior: Prior | None = PRIOR, conditional: bool = False) -> None:
        super().__init__()
        self.data = DataSpec("toy", (1, 5, 5), 100, classes=3, class_names=("a", "b", "c"))
        self.prior, self.conditional = prior, conditional
        self.seen: list[int] = []
        dim = prior.dim if prior else 7
        self.generator = nn.Sequential(nn.Linear(dim, 25), nn.BatchNorm1d(25), nn.Tanh())

    def phases(self) -> list[Phase]:
        return []

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        assert (y is not None) == self.conditional
        self.seen.append(len(z))
        images = self.generator(z).reshape(-1, 1, 5, 5)
        return images if y is None else images + y.reshape(-1, 1, 1, 1)

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        return self.generate(torch.randn(n, 7), y)


@pytest.fixture(params=["prior", "none", "conditional"])
def model(request) -> Toy:
    torch.manual_seed(0)
    prior = None if request.param == "none" else PRIOR
    return Toy(prior, request.param == "conditional").eval()


def all_of(model: Model, n: int, wish: SampleRequest | None = None, batch: int = 64) -> Tensor:
    return torch.cat(list(draw(model, n, wish, batch)))


def test_same_samples_at_any_batch_and_number(model):
    reference = all_of(model, 200)
    assert reference.shape == (200, 1, 5, 5)
    for batch in (1, 7, 64, 65, 1000):
        for n in (1, 63, 64, 65, 130, 200):
            assert torch.equal(all_of(model, n, batch=batch), reference[:n])


def test_pieces_are_no_larger_than_asked_for(model):
    assert [len(images) for images in draw(model, 200, batch=100)] == [128, 72]
    assert [len(images) for images in draw(model, 128, batch=1)] == [64, 64]
    assert set(model.seen) == {CHUNK}


def test_the_seed_and_nothing_else_random_decides(model):
    first = all_of(model, 70)
    torch.manual_seed(123)
    state = torch.get_rng_state()
    assert torch.equal(all_of(model, 70), first)
    assert torch.equal(torch.get_rng_state(), state)
    for seed in (1, -1, 2**40):
        assert not torch.equal(all_of(model, 70, SampleRequest(seed)), first)
    assert not torch.equal(first[:6], first[64:70])


def test_classes_go_round_or_stay():
    torch.manual_seed(0)
    model = Toy(conditional=True).eval()
    plain = all_of(model, 70, SampleRequest(label=0))
    rounds = all_of(model, 70) - plain
    assert torch.allclose(rounds[:, 0, 0, 0], (torch.arange(70) % 3).float(), atol=1e-5)
    assert torch.allclose(all_of(model, 70, SampleRequest(label=2)) - plain, torch.tensor(2.0))


def test_codes_hold_in_every_chunk():
    model = Toy().eval()
    wish = SampleRequest(codes=Codes.parse("category=2", PRIOR))
    for number in range(2):
        z = latents(model, wish, number)
        assert PRIOR.split(z)["category"].argmax(1).eq(2).all()
        assert torch.equal(z[:, :3], latents(model, SampleRequest(), number)[:, :3])


def test_decode_pads_and_cuts():
    model = Toy().eval()
    z = PRIOR.sample(70)
    with torch.no_grad():
        images = decode(model, z)
        assert torch.allclose(images, model.generate(z), atol=1e-6)
    assert model.seen[:2] == [64, 64]


@pytest.mark.parametrize("path", ["lerp", "slerp"])
@pytest.mark.parametrize("conditional", [False, True])
def test_interpolation_ends_in_the_samples_themselves(path, conditional):
    torch.manual_seed(0)
    model = Toy(conditional=conditional).eval()
    wish = SampleRequest(label=1 if conditional else None)
    rows = interpolate(model, 40, 10, path, wish)
    samples = all_of(model, 80, wish)
    assert rows.shape == (40, 10, 1, 5, 5)
    assert torch.equal(rows[:, 0], samples[0::2])
    assert torch.equal(rows[:, -1], samples[1::2])
    assert not torch.equal(rows[:, 4], rows[:, 5])
    assert torch.equal(interpolate(model, 3, 10, path, wish), rows[:3])


def test_a_row_keeps_the_class_of_its_first_sample():
    model = Toy(conditional=True).eval()
    first = interpolate(model, 4, 2, "lerp", SampleRequest(label=0))
    rounds = interpolate(model, 4, 2, "lerp") - first
    expected = torch.tensor([0.0, 2, 1, 0]).reshape(4, 1).expand(4, 2)
    assert torch.allclose(rounds[:, :, 0, 0, 0], expected, atol=1e-5)


def test_nothing_lies_between_without_latents():
    with pytest.raises(ConfigError, match="--interpolate: this model decodes no latents"):
        interpolate(Toy(prior=None), 1, 2, "lerp")
