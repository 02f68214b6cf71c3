"""Presets that need a GPU make two real steps, with narrow networks on a few images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from composing import session_of
from PIL import Image
from playing import advance, snapshot

from gan_cli.data.published import Published
from gan_cli.training.trainer import are_finite

pytestmark = pytest.mark.slow
D_WIDTH = "network.discriminator_width=8"
# What makes them small, and the updates of D and G in two steps.
PRESETS = {
    "biggan_cifar10": ((), 8, 2),
    "diffaugment": ((), 8, 2),
    "projection_cifar10": ((D_WIDTH,), 10, 2),
    "r3gan_cifar10": ((), 2, 2),
    "sngan_cifar10": ((D_WIDTH,), 10, 2),
    "stylegan2_64": (("network.most=16",), 3, 3),  # R1 and path lengths in the first step
    "stylegan2_ada_cifar10": (("network.most=16",), 3, 2),
    "wgan_gp_cifar10": ((D_WIDTH,), 10, 2),
}


@pytest.fixture(autouse=True)
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 records of noise instead of CIFAR-10, and a folder of images of 64x64."""
    noise = torch.randint(256, (40, 3073), generator=torch.Generator().manual_seed(0)).byte()
    noise[:, 0] %= 10

    def contents(_: Published, part: str, root: str | None) -> list[tuple[Path, bytearray]]:
        return [(tmp_path / part, bytearray(noise.numpy().tobytes()))]

    monkeypatch.setattr(Published, "contents", contents)
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path / "cache"))
    (tmp_path / "images").mkdir()
    for place in range(10):
        square = Image.effect_noise((64, 64), 20 + 5 * place).convert("RGB")
        square.save(tmp_path / "images" / f"{place}.png")


@pytest.mark.parametrize("preset", PRESETS)
def test_two_steps_move_both_players_as_often_as_the_paper_says(
    preset: str, tmp_path: Path
) -> None:
    words, d_updates, g_updates = PRESETS[preset]
    root = (f"data.root={tmp_path / 'images'}",) if preset == "stylegan2_64" else ()
    session = session_of(f"experiment={preset}", *words, *root)
    before = snapshot(session.model)
    advance(session, 2)
    assert session.trainer.not_finite() == ""
    assert are_finite(session.trainer.average.values.values())
    counts = {
        name: max(int(state["step"]) for state in one.optimizer.state.values())
        for name, one in session.players.items()
    }
    names = {"generator": g_updates, "discriminator": d_updates, "critic": d_updates}
    assert counts == {name: names[name] for name in session.players}
    still = {
        name
        for name, value in session.model.named_parameters()
        if torch.equal(value, before[name]) and not name.endswith("strength")
    }
    # Beside Wasserstein's differences a bias of all outputs has no gradient.
    assert still == ({"discriminator.head.bias"} if preset == "wgan_gp_cifar10" else set())
    assert session.model.sample(2, None).shape == (2, *session.model.data.shape)
