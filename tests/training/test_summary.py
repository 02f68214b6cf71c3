"""What `dry_run=true` shows of networks."""

from __future__ import annotations

import io

from composing import session_of
from rich.console import Console

from gan_cli.training.describe import count, layers, show, trace


def test_layers_with_computed_weights_are_layers_as_any() -> None:
    """Spectral norm hides a weight behind a parametrisation, which is no layer of its own."""
    plain = session_of("model=dcgan", "network.discriminator_norm=none", "data.split=test")
    spectral = session_of("model=dcgan", "network=dcgan_sn", "network.width=8", "data.split=test")
    shapes = [trace(s.model, s.stream.batch(0)) for s in (plain, spectral)]
    assert shapes[0] == shapes[1]
    assert shapes[1]["discriminator.first"] == (8, 8, 14, 14)
    network = spectral.model.get_submodule("discriminator")
    assert sum(count(layer) for _, layer in layers(network)) == count(network)
    assert dict(layers(network, "discriminator")).keys() <= shapes[1].keys()


def test_a_lazy_penalty_is_said_to_count_updates_of_the_player() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    more = ("penalty=r1", "penalty.every=4", "model.d_steps=5", "data=ring", "data.points=64")
    session = session_of("model=gan", *more)
    show(console, session.model, session.players, session.dataset, session.stream.batch(0))
    assert "every 4 updates of discriminator" in console.export_text()
