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
    parts = PRIOR.split(Codes.parse(["category=3, code2=-1.5", "tilt=.25"], PRIOR).put(z))
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
        ("category=0:1:2", r"category=0:1:2: FIRST:LAST are all from one on"),
        ("code1=0:1:1", r"code1=0:1:1: a count from 2 to 1000 is required"),
        ("code1=0:1:2:3", r"a number or FIRST:LAST:COUNT is needed"),
        ("code1=0:", r"code1=0:: a number is required"),
        ("c1=1,code1=2", r"code1 is given twice"),
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
        Codes.parse([text], PRIOR)
    assert str(error.value).startswith("--code ")


@pytest.mark.parametrize("prior", [Gaussian(2), None])
def test_a_model_without_codes(prior):
    with pytest.raises(ConfigError, match="--code a=1: this model has no codes; model=infogan"):
        Codes.parse(["a=1"], prior)


def test_ranges_are_combined_the_last_varying_fastest():
    codes = Codes.parse(["category=2:0", "c1=-1:1:2"], PRIOR)
    assert (codes.count, codes.columns) == (6, 2)
    parts = PRIOR.split(codes.put(torch.zeros(6, PRIOR.dim), torch.arange(6)))
    assert parts["category"].argmax(1).tolist() == [2, 2, 1, 1, 0, 0]
    assert parts["codes"][:, 0].tolist() == [-1, 1] * 3
    assert Codes.parse(["c2=0:9"], PRIOR).count == 10
    assert Codes.parse(["c2=3"], PRIOR).columns == 1


def test_several_codes_of_one_short_name_are_not_guessed():
    prior = Product(codes=Uniform(2), colours=Uniform(2))
    assert Codes.parse(["code1=1"], prior).put(torch.zeros(1, 4))[0].tolist() == [1, 0, 0, 0]
    with pytest.raises(ConfigError, match="--code c1: unknown code"):
        Codes.parse(["c1=1"], prior)
