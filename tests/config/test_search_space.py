"""Ranges by Hydra's grammar."""

from __future__ import annotations

import pytest

from gan_cli.config.command_line import prepare
from gan_cli.config.search_space import Dimension, dimensions
from gan_cli.errors import ConfigError


def dimension(override: str) -> Dimension:
    (found,), rest = dimensions(prepare([override]))
    assert rest == []
    return found


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "optimizer.lr=tag(log,interval(1e-5,1e-2))",
            Dimension("optimizer.lr", "float", low=1e-5, high=1e-2, log=True),
        ),
        ("ema.decay=interval(0,.5)", Dimension("ema.decay", "float", low=0.0, high=0.5)),
        ("model.d_steps=range(1,6)", Dimension("model.d_steps", "int", low=1, high=5, step=1)),
        ("prior.dim=range(10,3,-2)", Dimension("prior.dim", "int", low=4, high=10, step=2)),
        ("ema.decay=range(0,1,.1)", Dimension("ema.decay", "float", low=0, high=0.9, step=0.1)),
        ("ema.decay=range(0,.95,.3)", Dimension("ema.decay", "float", low=0, high=0.9, step=0.3)),
        (
            "prior.dim=tag(log,int(interval(1,64)))",
            Dimension("prior.dim", "int", low=1, high=64, step=1, log=True),
        ),
        ("network=dcgan,mlp", Dimension("network", "choice", ("dcgan", "mlp"))),
        ("network=choice(dcgan,mlp)", Dimension("network", "choice", ("dcgan", "mlp"))),
        ("+model.fast=true,false", Dimension("model.fast", "choice", ("true", "false"))),
        (
            "optimizer.betas=[0,.9],[.5,.9]",
            Dimension("optimizer.betas", "choice", ("[0,0.9]", "[0.5,0.9]")),
        ),
        ("penalty=glob([r1*],exclude=*r2)", Dimension("penalty", "choice", ("r1",))),
    ],
)  # fmt: skip
def test_a_range_is_read(override: str, expected: Dimension) -> None:
    assert dimension(override) == expected


def test_what_is_no_range_stays_as_typed() -> None:
    line = ["model=wgan", "optimizer.betas=[0,.9]", "batch_size=8,16", "~model.g_steps"]
    found, rest = dimensions(prepare(line))
    assert [d.key for d in found] == ["batch_size"]
    assert rest == ["model=wgan", "optimizer.betas=[0,.9]", "~model.g_steps"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("a=interval(2,1)", "a = interval(2,1): the first number must be the smaller one"),
        ("a=tag(log,interval(0,1))", "a = interval(0,1): a logarithmic interval must begin"),
        ("a=tag(log,range(1,9))", "a: only an interval can be logarithmic"),
        ("a=tag(lgo,interval(1,9))", "a: tag lgo has no meaning here; only log has"),
        ("a=range(5,1)", "a = range(5,1,1): is empty"),
        ("a=glob(*)", "a: glob(...) is for groups"),
        ("loss=glob(zz*)", "loss: has no values to choose from"),
        ("network=dcgan,mpl", "network = mpl: unknown option"),
    ],
)  # fmt: skip
def test_a_range_that_cannot_be_searched_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        dimension(override)
    assert message in str(error.value)


def test_a_setting_has_one_range() -> None:
    with pytest.raises(ConfigError, match="a: has two ranges"):
        dimensions(prepare(["a=1,2", "a=interval(1,2)"]))


def test_a_range_is_told_and_probed() -> None:
    log = dimension("optimizer.lr=tag(log,interval(1e-5,1e-2))")
    *ends, inside = log.probes()
    assert (str(log), ends) == ("1e-05 to 0.01, log", ["1e-05", "0.01"])
    assert 1e-5 < float(inside) < 1e-2
    assert dimension("prior.dim=int(interval(2,9))").probes() == ["2", "9"]
    assert str(dimension("prior.dim=range(2,9,2)")) == "2 to 8 by 2"
    choice = dimension("network=dcgan,mlp")
    assert (str(choice), choice.probes()) == ("dcgan, mlp", ["dcgan", "mlp"])
