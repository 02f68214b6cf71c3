"""What `dry_run=true` shows of networks."""

from __future__ import annotations

from composing import session_of

from gan_cli.training.summary import count, layers, trace


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
