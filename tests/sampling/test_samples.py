"""Samples: the same whatever way they are asked for."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from composing import session_of
from torch import Tensor, nn

from gan_cli.model import DataSpec, Model, Phase
from gan_cli.priors import Categorical, Gaussian, Prior, Product, Uniform
from gan_cli.sampling.codes import Codes
from gan_cli.sampling.samples import (
    CHUNK,
    SampleRequest,
    decode,
    draw,
    labels,
    latents,
    requested,
)

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
    plain = all_of(model, 70, SampleRequest(classes=(0,)))
    rounds = all_of(model, 70) - plain
    assert torch.allclose(rounds[:, 0, 0, 0], (torch.arange(70) % 3).float(), atol=1e-5)
    assert torch.allclose(all_of(model, 70, SampleRequest(classes=(2,))) - plain, torch.tensor(2.0))


def test_codes_hold_in_every_chunk():
    model = Toy().eval()
    wish = SampleRequest(codes=Codes.parse(["category=2"], PRIOR))
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


def test_the_first_samples_may_be_left_out(model):
    whole = all_of(model, 200)
    assert torch.equal(torch.cat(list(draw(model, 200, batch=128, first=128))), whole[128:])
    assert not list(draw(model, 128, first=128))


def test_classes_are_taken_in_turn():
    model = Toy(conditional=True).eval()
    for first in (0, 1, 64):
        found = labels(model, SampleRequest(classes=(2, 0)), first, 5)
        assert found is not None
        assert found.tolist() == [(2, 0)[(first + i) % 2] for i in range(5)]


def test_a_swept_code_repeats_each_latent_and_class_with_every_value():
    model = Toy(Product(noise=Gaussian(3), tilt=Uniform(1)), conditional=True).eval()
    wish = SampleRequest(codes=Codes.parse(["tilt=-1:1:3"], model.prior))
    z = torch.cat([latents(model, wish, number) for number in range(2)])
    plain = torch.cat([latents(model, SampleRequest(), number) for number in range(2)])
    assert torch.equal(z[:, :3], plain[:, :3].repeat_interleave(3, 0)[:128])
    assert torch.equal(z[:, 3], torch.tensor([-1.0, 0, 1]).repeat(43)[:128])
    found = labels(model, wish, 2, 8)
    assert found is not None
    assert found.tolist() == [0, 1, 1, 1, 2, 2, 2, 0]
    images = all_of(model, 100, wish)
    assert torch.equal(all_of(model, 70, wish, batch=7), images[:70])


def test_given_latents_are_decoded_in_order():
    model = Toy().eval()
    z = PRIOR.sample(70)
    images = all_of(model, 70, SampleRequest(z=z))
    with torch.no_grad():
        assert torch.equal(images, decode(model, z))


def test_truncation_of_a_stylegan_is_of_its_styles():
    overrides = ("model=stylegan2", "data.split=test", "data.size=8", "network.most=8")
    model: Any = session_of(*overrides, "batch_size=4").model.eval()
    words: Any = SimpleNamespace(truncation=0.25, z=None, seed=0, classes=None, code=[])
    with torch.no_grad():
        whole = all_of(model, 4, SampleRequest())
        wish = requested(words, model)
        assert torch.equal(latents(model, wish, 0), latents(model, SampleRequest(), 0))
        near = all_of(model, 4, wish)
    assert not torch.equal(whole, near)
    model.generator.truncation = 1.0
    styles = model.generator.mapping(latents(model, wish, 0), None)
    closer = model.generator.mean_style.lerp(styles, 0.25)
    made = model.generator.synthesise(model.generator.repeated(closer)).clamp(-1, 1)
    torch.testing.assert_close(near, made[:4].detach())


def test_truncation_moves_each_latent_towards_the_middle():
    model = Toy().eval()
    whole = latents(model, SampleRequest(), 0)
    near = latents(model, SampleRequest(truncation=0.5), 0)
    assert near[:, :3].abs().max() <= 0.5
    assert torch.equal(near[:, :3].sign(), whole[:, :3].sign())
    assert torch.equal(near[:, 3:], whole[:, 3:])
