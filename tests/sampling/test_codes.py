"""Codes by name: where they lie, what is refused."""

import pytest
import torch

from gan_cli.errors import ConfigError
from gan_cli.priors import Categorical, Gaussian, Product, Uniform
from gan_cli.sampling.codes import Codes, places

PRIOR = Product(noise=Gaussian(62), category=Categorical(10), codes=Uniform(2), tilt=Uniform(1))


def test_values_land_in_their_parts_and_nowhere_else():
    z = PRIOR.sample(5)
    before = z.clone()
    parts = PRIOR.split(Codes.parse("category=3, code2=-1.5,tilt=.25", PRIOR).put(z))
    assert torch.equal(z, before)
    assert parts["category"].tolist() == [[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]] * 5
    assert parts["codes"][:, 1].tolist() == [-1.5] * 5
    assert parts["tilt"].tolist() == [[0.25]] * 5
    assert torch.equal(parts["codes"][:, 0], PRIOR.split(z)["codes"][:, 0])
    assert torch.equal(parts["noise"], PRIOR.split(z)["noise"])


def test_no_codes_change_nothing():
    z = PRIOR.sample(2)
    assert torch.equal(Codes().put(z), z)


def test_every_place_is_named_once_and_in_bounds():
    known = places(PRIOR)
    taken = [place.start + i for place in known.values() for i in range(place.categories or 1)]
    assert sorted(taken) == list(range(PRIOR.dim))
    assert list(known)[-4:] == ["category", "code1", "code2", "tilt"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("category=10", r"category=10: a category from 0 to 9 is required"),
        ("category=-1", r"a category from 0 to 9"),
        ("category=²", r"a category from 0 to 9"),
        ("category=1.5", r"a category from 0 to 9"),
        ("code1=nan", r"code1=nan: a number is required"),
        ("code1=inf", r"code1=inf: a number is required"),
        ("code1=", r"code1=: a number is required"),
        ("code1", r"name=value,name=value is required"),
        ("code1=1,", r"name=value,name=value is required"),
        ("", r"name=value,name=value is required"),
        ("code1=1,code1=2", r"code1 is given twice"),
        ("catgory=1", r"catgory: unknown code \(did you mean category\?\)"),
        ("x=1", r"available: category=0\.\.9, noise1\.\.noise62, code1\.\.code2, tilt$"),
    ],
)
def test_refused(text, message):
    with pytest.raises(ConfigError, match=message) as error:
        Codes.parse(text, PRIOR)
    assert str(error.value).startswith("--code ")


@pytest.mark.parametrize("prior", [Gaussian(2), None])
def test_a_model_without_codes(prior):
    with pytest.raises(ConfigError, match="--code a=1: this model has no codes; model=infogan"):
        Codes.parse("a=1", prior)
