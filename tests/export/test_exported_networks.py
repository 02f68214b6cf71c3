"""Which networks of a model can stand alone, and what they keep of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from composing import little, session_of
from torch import Tensor, nn

from gan_cli.export.formats import export, largest_difference
from gan_cli.export.networks import networks_of
from gan_cli.model import DataSpec, Model, Phase
from gan_cli.priors import Gaussian


def model_of(name: str, *overrides: str) -> Model:
    return session_of(*little(name), *overrides).model.eval()


@pytest.mark.parametrize(
    ("model", "overrides", "names"),
    [
        ("cgan", (), ["generator", "discriminator"]),
        ("cvae", (), ["generator", "encoder"]),
        ("bigan", (), ["generator", "encoder", "discriminator"]),
        ("energy", (), ["discriminator"]),
        ("dcgan", ("network=dcgan_sn",), ["generator", "discriminator"]),
    ],
)
def test_networks_compute_what_the_model_does(
    model: str, overrides: tuple[str, ...], names: list[str]
) -> None:
    made = model_of(model, *overrides)
    networks, missing = networks_of(made)
    assert [one.name for one in networks] == names
    assert not missing
    methods = {"generator": "generate", "encoder": "encode", "discriminator": "score"}
    for network in networks:
        inputs = network.random(3, 0)
        found = network.module(*inputs)
        original = getattr(made, methods[network.name])
        assert torch.allclose(found, original(*inputs), atol=1e-6)
        assert found.shape[0] == 3
        own = {name for name, _ in network.module.named_parameters()}
        other = "model.discriminator." if network.name == "generator" else "model.generator."
        assert not any(name.startswith(other) for name in own)
        assert not any("parametrizations" in name for name in own)
    assert made.training is False
    assert set(dict(made.named_children())) >= {"discriminator"} or "encoder" in names


class Shifted(Model):
    """Points that a part moves which is no layer, and without which nothing fails."""

    def __init__(self) -> None:
        super().__init__()
        self.data, self.prior = DataSpec("points", (2,), 10), Gaussian(2)
        self.generator, self.shift = nn.Linear(2, 2), nn.Linear(2, 2)
        self.scales = nn.ParameterList([torch.ones(2), 2 * torch.ones(2)])

    def phases(self) -> list[Phase]:
        return []

    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        return self.generate(self.prior.sample(n))

    def generate(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        made = self.generator(z)
        for scale in self.scales:
            made = made * scale
        return made if self.shift is None else made + self.shift.bias


def test_parts_without_which_the_output_is_another_are_kept() -> None:
    made = Shifted().eval()
    [generator], _ = networks_of(made)
    [z] = generator.random(3, 0)
    assert torch.equal(generator.module(z), made.generate(z))


def test_networks_that_cannot_stand_alone_say_why() -> None:
    networks, missing = networks_of(model_of("pix2pix"))
    assert networks == []
    assert missing[0] == "translator: its output is random, which no file of a network can hold"
    networks, missing = networks_of(model_of("dcgan", "model.packing=2", "model.share_fakes=false"))
    assert [one.name for one in networks] == ["generator"]
    assert missing == ["discriminator: its output depends on more than one sample, or its class"]


@pytest.mark.parametrize(
    ("model", "overrides"),
    [
        ("stylegan2", ("data.size=8", "network.most=8")),
        ("autoencoder", ("network.width=4",)),
        ("glo", ()),
    ],
)
def test_generators_are_held_for_any_number_of_samples(
    model: str, overrides: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [generator] = [o for o in networks_of(model_of(model, *overrides))[0] if o.name == "generator"]
    eigh = torch.linalg.eigh

    def checked(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert not torch.compiler.is_exporting()  # ONNX has none
        return eigh(x)

    monkeypatch.setattr(torch.linalg, "eigh", checked)
    made = export(generator, "torch_export", tmp_path, 0)
    assert made.difference < 1e-5


def test_differences_are_of_the_largest_output() -> None:
    [generator, *_] = networks_of(model_of("dcgan"))[0]
    assert largest_difference(generator, lambda inputs: generator.module(*inputs), 0) == 0
    off = largest_difference(generator, lambda inputs: generator.module(*inputs) + 0.01, 0)
    assert off == pytest.approx(0.01, rel=1e-3)
    cut = largest_difference(generator, lambda inputs: generator.module(*inputs)[:1], 0)
    assert cut == float("inf")
