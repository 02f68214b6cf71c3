"""What InfoGAN reads off samples, against the bound that it trains with."""

from __future__ import annotations

import pytest
import torch
from composing import session_of

from gan_cli.model import Recognises
from gan_cli.models.infogan import InfoGAN


@pytest.mark.parametrize("deviation", ["1", "0.5", "null"])
def test_what_it_recognises_is_what_the_bound_is_made_of(deviation: str) -> None:
    settings = ("model=infogan", "data.split=test", f"model.code_deviation={deviation}")
    model = session_of(*settings).model
    assert isinstance(model, InfoGAN)
    model.eval()
    with torch.no_grad():
        z = model.prior.sample(20)
        samples = model.generate(z)
        bounds = model.bounds(model.discriminator.features(samples), z)
        posterior = model.recognise(samples)
    assert set(posterior) == {"category", "codes"}
    for name, bound in (("category", "categorical"), ("codes", "continuous")):
        code = model.prior.split(z)[name]
        gain = posterior[name].log_prob(code) - model.prior.parts[name].log_prob(code)
        assert gain.shape == (20,)
        torch.testing.assert_close(gain.mean(), bounds[bound], rtol=1e-4, atol=1e-5)


def test_other_games_recognise_nothing() -> None:
    model = session_of("model=dcgan", "data.split=test").model
    assert not isinstance(model, Recognises)
