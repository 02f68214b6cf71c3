"""A batch in parts teaches what the whole batch teaches."""

from __future__ import annotations

import pytest
import torch
from composing import session_of
from playing import advance, check_that_resuming_is_exact

from gan_cli.errors import ConfigError

# Adam's first updates are signs of gradients, of which some are zero but for rounding.
PLAIN = ("optimizer=sgd", "optimizer.lr=0.01")
GAMES = {
    "points": ("model=gan", "data=ring"),
    "critic": ("model=wgan_gp", "model.d_steps=2", "network.generator_norm=none"),
    "draws": (
        *("model=gan", "network=dcgan_gp", "network.generator_norm=none", "penalty=r1"),
        *("penalty.every=2", "model.packing=2", "model.instance_noise=0.1"),
        "model.augment=[color,translation,cutout]",
    ),
    "adaptive": (
        *("model=gan", "network=dcgan_gp", "network.generator_norm=none", "penalty=r1"),
        *("model.first=generator", "model.ada_target=-0.9", "model.ada_images=64"),
        "model.ada_pipeline=bgcfnc",
    ),
    "shared fakes": ("model=dcgan", "network=dcgan_gp", "network.generator_norm=none"),
    "spectral norm": (
        *("model=projection_gan", "model.d_steps=1", "network.generator_norm=none"),
        "model.fake_labels=uniform",
    ),
    "players at once": ("model=gan", "data=ring", "model.schedule=simultaneous"),
    "balance": (
        *("model=began", "network.generator_norm=none", "network.discriminator_norm=none"),
    ),
    "own batch": (
        *("model=cgan", "model.share_fakes=false", "model.generator_batch=2"),
        *("network.generator_norm=none", "network.discriminator_norm=none"),
    ),
    "codes": ("model=glo", "network.generator_norm=none"),
    "styles": (
        *("model=stylegan2", "~optimizer.betas", "network.group=null", "model.path_length=0"),
        *("network.mapping=1", "network.most=16", "penalty.every=2", "optimizer.lr=0.001"),
    ),
}


@pytest.mark.parametrize("game", GAMES)
def test_parts_of_a_batch_are_the_whole_batch(game: str) -> None:
    whole, parts = (session_of(*PLAIN, *GAMES[game], f"accumulate={n}") for n in (1, 4))
    for session in (whole, parts):
        advance(session, 3)
    theirs = parts.model.state_dict()
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(theirs[name], value, rtol=1e-4, atol=1e-5, msg=name)
    means = parts.trainer.window.means()
    assert means == pytest.approx(whole.trainer.window.means(), rel=1e-3, abs=1e-5)
    for name, values in whole.trainer.window.outputs.items():
        torch.testing.assert_close(parts.trainer.window.outputs[name], values, rtol=1e-3, atol=1e-5)


def test_batch_norm_moves_its_running_means_once_an_update_by_the_mean_of_the_parts() -> None:
    whole, parts = (session_of(*PLAIN, "model=dcgan", f"accumulate={n}") for n in (1, 2))
    for session in (whole, parts):
        advance(session, 1)
    mine, theirs = dict(whole.model.named_buffers()), dict(parts.model.named_buffers())
    (count, *_) = (name for name in mine if name.endswith("num_batches_tracked"))
    mean = count.replace("num_batches_tracked", "running_mean")
    assert torch.equal(theirs[count], mine[count])
    torch.testing.assert_close(theirs[mean], mine[mean], rtol=1e-4, atol=1e-5)
    assert "batch norm takes its statistics of the 4 samples" in parts.warnings[0]


def test_it_may_change_between_two_steps() -> None:
    whole, other = (session_of(*PLAIN, *GAMES["points"]) for _ in range(2))
    advance(whole, 2)
    advance(other, 1)
    other.trainer.accumulate = 2
    advance(other, 1)
    for mine, theirs in zip(whole.model.parameters(), other.model.parameters(), strict=True):
        torch.testing.assert_close(theirs, mine, rtol=1e-5, atol=1e-6)


def test_a_pool_of_images_takes_in_each_part() -> None:
    session = session_of("model=cyclegan", "data=derived", *SMALL_TRANSLATOR, "accumulate=4")
    advance(session, 1)
    counts = {n: int(b) for n, b in session.model.named_buffers() if n.endswith("count")}
    assert counts
    assert set(counts.values()) == {8}, "of a batch of 8, whole"


SMALL_TRANSLATOR = ("network.discriminator_width=8", "network.blocks=1", "data.split=test")


def test_resuming_is_exact() -> None:
    check_that_resuming_is_exact(2, *GAMES["points"], "accumulate=2")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("model=gan", "data=ring", "accumulate=3"), "8 samples cannot be .* set accumulate=2,"),
        (
            ("model=gan", "data=ring", "model.packing=4", "accumulate=4"),
            "8 samples in packs of 4 cannot be divided into 4 equal parts; set accumulate=2",
        ),
        (("model=vae", "accumulate=2"), "VAE needs its batches whole, since each part of it would"),
        (("model=gan", "loss=softmax", "accumulate=2"), "needs whole batches: loss=Softmax"),
        (
            ("model=stylegan2", "network.group=null", "accumulate=2"),
            r"needs whole batches: path lengths \(model.path_length\)",
        ),
        (
            ("model=mixture", "data=ring", "accumulate=2"),
            ".*EM keeps moments of the samples of one part",
        ),
        (
            ("model=gan", "data=ring", "runtime.compile=true", "accumulate=2"),
            "compiled networks do not see",
        ),
    ],
)
def test_what_cannot_be_divided_is_refused(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^accumulate = .: {message}"):
        session_of(*overrides)
