"""Every conf/network/*.yaml in a game, with labels and without."""

from __future__ import annotations

import pytest
from composing import session_of
from playing import advance

from gan_cli.config.groups import CONF

# Of translation and of sentences; tests/models/test_translation.py and test_text.py train them.
OTHERS = {"encoder_decoder", "resnet_translator", "srresnet", "unet", "text_conv", "text_lstm"}
NETWORKS = sorted({path.stem for path in (CONF / "network").glob("*.yaml")} - OTHERS)
DATA = {
    "pacgan": ("data=ring", "data.points=100"),
    "r3gan": ("data=mnist", "data.split=test", "network.group=8"),
}


@pytest.mark.slow
@pytest.mark.parametrize("conditional", ["false", "true"])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_trains_and_draws(network: str, conditional: str) -> None:
    data = DATA.get(network, ("data=mnist", "data.split=test"))
    session = session_of(
        "model=gan", f"model.conditional={conditional}", f"network={network}", *data
    )
    advance(session, 1)
    with session.trainer.sampling() as sampler:
        labels = session.stream.batch(0).labels if conditional == "true" else None
        n = 3 if labels is None else len(labels)
        assert sampler.sample(n, labels).shape == (n, *session.dataset.spec.shape)
