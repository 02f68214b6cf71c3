"""Standing statistics of batch norm: those of the samples that the model itself draws."""

from __future__ import annotations

import pytest
import torch
from composing import session_of
from torch import Tensor, nn

from gan_cli.errors import ConfigError
from gan_cli.runs.load import stand


def test_they_are_the_means_over_the_batches_that_are_drawn() -> None:
    model = session_of("model=dcgan", "data.split=test").model.eval()
    layers = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    means: list[Tensor] = []
    layers[0].register_forward_pre_hook(lambda _, inputs: means.append(inputs[0].mean((0, 2, 3))))
    stand(model, 5, 16)
    assert len(means) == 5
    assert layers[0].running_mean is not None
    torch.testing.assert_close(layers[0].running_mean, torch.stack(means).mean(0))
    assert not any(layer.training for layer in layers)
    again = [buffer.clone() for buffer in model.buffers()]
    stand(model, 5, 16)
    assert all(map(torch.equal, again, model.buffers()))


def test_a_sampler_without_batch_norm_is_refused() -> None:
    model = session_of("model=gan", "data=ring", "network.generator_norm=none").model
    with pytest.raises(ConfigError, match="--standing 4: this run's sampler has no batch norm"):
        stand(model, 4, 8)


def test_an_encoder_keeps_its_statistics() -> None:
    """Samples do not go through it."""
    model = session_of("model=vaegan", "data.split=test", "network.width=4").model
    encoder, decoder = (model.get_submodule(name) for name in ("encoder", "decoder"))
    norms = [
        next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d))
        for network in (encoder, decoder)
    ]
    for layer in norms:
        nn.init.constant_(layer.get_buffer("running_mean"), 7.0)
    stand(model.eval(), 3, 8)
    assert norms[0].get_buffer("running_mean").eq(7).all()
    assert norms[1].get_buffer("running_mean").ne(7).all()
