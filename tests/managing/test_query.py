"""Conditions on runs: the grammar, and what is wrong in words."""

from __future__ import annotations

import pytest

from gan_cli.errors import ConfigError
from gan_cli.managing.query import Value, parse


class Run:
    """A run of a few values."""

    have: dict[str, list[Value]] = {  # noqa: RUF012
        "model": ["wgan"],
        "metrics.fid": [12.5],
        "tag": ["old", "paper one"],
        "step": [300],
        "age": [90_000.0],
        "size": [2_500_000],
        "lr": [0.0002],
        "betas": ["[0.5,0.999]"],
        "patience": [None],
    }

    def values(self, key: str) -> list[Value]:
        return self.have.get(key, [])


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("model=wgan", True),
        ("model==WGAN", True),
        ("model!=wgan", False),
        ("model=wgan and metrics.fid<20", True),
        ("model=gan or metrics.fid >= 12.5", True),
        ("model=gan and model=wgan or step=300", True),  # and binds closer
        ("model=gan and (model=wgan or step=300)", False),
        ("not model=gan and not step<300", True),
        ("not (model=wgan or step=300)", False),
        ("tag=old", True),
        ('tag="paper one"', True),
        ("tag!=old", False),
        ("tag~^PAP", True),
        ("model~'w.an$'", True),
        ("age>1d and age<2d", True),
        ("size>2MB and size<=2.5mb", True),
        ("lr=2e-4", True),
        ("model=not or order=and", False),  # words that begin like, or stand as, the joining ones
        ("not not NOT model=gan", True),
        ("not " * 301 + "model=gan", True),
        (" \n model=wgan AND\nstep=300 ", True),
        ("(" * 100 + "step=3 or tag=x and not step=3 or model=wgan" + ")" * 100, True),
        ("not (tag=x or step=3 or " * 50 + "model=wgan" + ")" * 50, True),
        ("betas=[0.5,0.999]", True),
        ("betas!='[ .5, 999e-3 ]'", False),
        ("betas=[0.5]", False),
        ("betas!=[[0.5,0.999]]", True),
        ("patience=null", True),
        ("patience!=NULL or patience=none or patience<1", False),
        ("nothing=null", False),
        ("nothing=1", False),
        ("nothing!=1", True),
        ("nothing<1 or nothing>1 or nothing~x", False),
    ],
)
def test_what_a_condition_means(condition: str, expected: bool) -> None:
    assert parse(condition).test(Run()) is expected


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("", "a key is missing"),
        ("model", "model needs one of = != < <= > >= ~ behind it"),
        ("model=", "model= needs a value behind it"),
        ("model=wgan step=3", "step is one too many"),
        ("(model=wgan", ") is missing"),
        ("model=wgan)", ") is one too many"),
        ("step<many", "step< needs a number"),
        ("model~'['", "is not a regular expression"),
        ("model='wgan", "a quote is not closed"),
        ("=wgan", "a key is missing"),
        ("model=wgan or", "a key is missing"),
        ("model=wgan and or=1", "a key is missing"),
        ("model=wgan = 3", "= is one too many"),
        ("model=wgan ! step=3", "! is one too many"),
        ("model step=3", "model needs one of = != < <= > >= ~ behind it"),
        ("__import__('os')", "needs one of"),
        ("(" * 200 + "a=1" + ")" * 200, "more than 100 levels"),
    ],
)
def test_what_is_wrong_is_pointed_at(condition: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(condition)
    assert str(error.value).startswith("--where: ")
    assert message in str(error.value)
    assert ">>>" in str(error.value)


def test_a_condition_is_bounded_in_length() -> None:
    with pytest.raises(ConfigError, match="--where: 12000 characters, at most 10000 can be read"):
        parse("model=wgan or " + "x" * 11_986)


def test_a_key_is_asked_for_once_in_the_order_of_the_condition() -> None:
    assert parse("tag=a or step<3 and not tag~b").keys == ("tag", "step")
