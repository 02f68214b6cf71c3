"""Paths through latents and classes: their points, their ends, their norms, and odd cases."""

import math

import pytest
import torch
from test_samples import PRIOR, Toy

from gan_cli.errors import ConfigError
from gan_cli.priors import Categorical, Gaussian, Prior, Product, Uniform, slerp
from gan_cli.sampling.codes import Codes
from gan_cli.sampling.paths import Paths, points_of
from gan_cli.sampling.samples import SampleRequest, decode, draw, labels


def points(*rows: list[float]) -> torch.Tensor:
    return torch.tensor([rows])


def test_a_path_goes_through_its_points_in_order():
    z = PRIOR.sample(12).unflatten(0, (4, 3))
    found = Paths(PRIOR, z, "lerp").at(5)
    assert found.shape == (4, 9, PRIOR.dim)
    assert torch.equal(found[:, ::4], z)
    torch.testing.assert_close(found[:, 2], (z[:, 0] + z[:, 1]) / 2)


def test_a_loop_comes_back_and_does_not_show_its_beginning_twice():
    z = Gaussian(6).sample(3)[None]
    found = Paths(Gaussian(6), z, "slerp", loop=True).at(3)
    assert found.shape == (1, 6, 6)
    assert torch.equal(found[:, ::2], z)
    torch.testing.assert_close(found[0, 5], slerp(z[0, 2], z[0, 0], 0.5))


def test_a_matched_path_ends_in_its_points_and_keeps_their_length():
    z = Gaussian(400).sample(20, generator=torch.Generator().manual_seed(0)).unflatten(0, (10, 2))
    found = Paths(Gaussian(400), z, "matched").at(11)
    assert torch.equal(found[:, [0, -1]], z)
    # sqrt(400) with a standard error of 1 / sqrt(2 * 10)
    assert found[:, 5].norm(dim=1).mean().item() == pytest.approx(20, abs=1)
    straight = Paths(Gaussian(400), z, "lerp").at(11)[:, 5].norm(dim=1).mean().item()
    assert straight == pytest.approx(20 / math.sqrt(2), abs=1)


@pytest.mark.parametrize("conditional", [False, True])
def test_the_ends_of_a_path_are_the_samples_themselves(conditional):
    torch.manual_seed(0)
    model = Toy(Gaussian(3), conditional).eval()
    request = SampleRequest(seed=5, classes=(1,) if conditional else ())
    found = Paths(model.prior, *both(points_of(model, request, 40))).images(model, 4)
    samples = torch.cat(list(draw(model, 80, request)))
    assert found.shape == (40, 4, 1, 5, 5)
    assert torch.equal(found[:, 0], samples[0::2])
    assert torch.equal(found[:, -1], samples[1::2])


def both(found):
    """Points and classes as arguments of `Paths`."""
    return found[0], "lerp", False, found[1]


def test_a_path_keeps_the_class_of_its_first_sample():
    model = Toy(conditional=True).eval()
    _, classes = points_of(model, SampleRequest(), 4, points=3)
    assert classes is not None
    own = labels(model, SampleRequest(), 0, 12)
    assert own is not None
    assert classes.tolist() == [[c] * 3 for c in own[::3].tolist()]


def test_classes_in_turn_are_points_of_one_latent():
    model = Toy(conditional=True).eval()
    z, classes = points_of(model, SampleRequest(classes=(2, 0, 1)), 2)
    assert z.shape == (2, 3, PRIOR.dim)
    assert torch.equal(z[:, 0], z[:, 2])
    mixtures = Paths(PRIOR, z, classes=classes).mixtures(3, 3)
    assert mixtures is not None
    assert mixtures[0].tolist() == [[0, 0, 1], [0.5, 0, 0.5], [1, 0, 0], [0.5, 0.5, 0], [0, 1, 0]]


def test_a_range_of_a_code_is_points_of_one_latent():
    model = Toy().eval()
    request = SampleRequest(codes=Codes.parse(["category=0:3"], PRIOR))
    z, _ = points_of(model, request, 2)
    parts = PRIOR.split(z.flatten(0, 1))
    assert parts["category"].argmax(1).tolist() == [0, 1, 2, 3] * 2
    assert torch.equal(parts["noise"][0], parts["noise"][3])


def test_seeds_and_files_give_points():
    model = Toy().eval()
    z, _ = points_of(model, SampleRequest(seed=9), 3, seeds=[4, 7])
    for k, seed in enumerate((4, 7)):
        first = next(draw(model, 3, SampleRequest(seed)))
        with torch.no_grad():
            assert torch.equal(decode(model, z[:, k]), first)
    given = PRIOR.sample(10).unflatten(0, (2, 5))
    z, _ = points_of(model, SampleRequest(z=given))
    assert torch.equal(z, given)
    near, _ = points_of(model, SampleRequest(z=given, truncation=0.5))
    assert near[..., :3].abs().max() <= 0.5


@pytest.mark.parametrize(
    ("request_", "options", "message"),
    [
        (SampleRequest(z=PRIOR.sample(2)[None]), {"seeds": [1, 2]}, "--seeds, --z and a range"),
        (SampleRequest(z=PRIOR.sample(2)[None]), {"number": 2}, "-n 2: the file of --z holds 1 pa"),
        (SampleRequest(), {"seeds": [1, 2, 3], "points": 2}, "--points 2: there are 3 points"),
        (SampleRequest(classes=(1, 2)), {"seeds": [1, 2, 3]}, "2 classes for 3 points"),
    ],
)
def test_options_that_do_not_go_together(request_, options, message):
    with pytest.raises(ConfigError, match=message):
        points_of(Toy(conditional=True).eval(), request_, **options)


def test_a_path_needs_two_points_and_a_known_way():
    with pytest.raises(ConfigError, match="one point is given"):
        Paths(PRIOR, PRIOR.sample(1)[None])
    with pytest.raises(ConfigError, match="--method arc: the prior Uniform has lerp, slerp, match"):
        Paths(Uniform(2), torch.zeros(1, 2, 2), "arc")


def said(prior: Prior, z: torch.Tensor, method: str = "") -> list[str]:
    return list(Paths(prior, z, method).special())


ODD = {
    "zero, slerp": ([0, 0, 0], [0, 3, 4], "slerp", "one is the zero vector; slerp gives it the o"),
    "zero, lerp": ([0, 0, 0], [0, 3, 4], "lerp", "one is the zero vector"),
    "opposite, slerp": ([1, 2, 3], [-2, -4, -6], "slerp", "are opposite; slerp turns through the"),
    "opposite, lerp": ([1, 2, 3], [-1, -2, -3], "lerp", "are opposite; lerp goes through the zero"),
    "parallel": ([1, 2, 3], [2, 4, 6], "slerp", "are parallel; slerp is a straight line"),
    "parallel, matched": ([1, 2, 3], [2, 4, 6], "matched", "are parallel"),
    "the same": ([1, 2, 3], [1, 2, 3], "slerp", "are the same, so nothing changes"),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_points_are_said_and_never_broken(case):
    a, b, method, message = ODD[case]
    z = points([float(x) for x in a], [float(x) for x in b])
    (line,) = said(Gaussian(3), z, method)
    assert line.startswith(f"path 1, points 1 and 2: {message}")
    way = Paths(Gaussian(3), z, method).at(9)
    assert way.isfinite().all()
    assert torch.equal(way[0, [0, -1]], z[0])


def test_opposite_points_turn_on_the_sphere():
    way = Paths(Gaussian(3), points([3.0, 0, 4], [-3.0, 0, -4]), "slerp").at(9)
    torch.testing.assert_close(way.norm(dim=2), torch.full((1, 9), 5.0))
    assert way[0, 4, 1].abs() == pytest.approx(5, abs=1e-5)


def test_common_points_and_other_parts_are_not_odd():
    assert said(Gaussian(3), points([1.0, 2, 3], [3.0, 2, 1])) == []
    prior = Product(noise=Gaussian(2), category=Categorical(2))
    same_category = points([1.0, 2, 1, 0], [3.0, 1, 1, 0])
    assert said(prior, same_category) == []
    opposite = points([1.0, 2, 1, 0], [-1.0, -2, 0, 1])
    assert said(prior, opposite)[0].startswith("path 1, points 1 and 2: are opposite in noise; sl")


def test_the_report_gives_norms_by_hand():
    z = torch.tensor([[[3.0, 0], [0.0, 4]], [[0.0, 2], [0.0, 4]]])
    lines = list(Paths(Gaussian(2), z, "lerp").report())
    assert lines[0] == "lerp: |z| along each path"
    assert lines[2].split() == ["path", "start", "end", "least", "most", "length"]
    assert [float(x) for x in lines[3].split()] == [1, 3, 4, 2.4, 4, 5]
    assert [float(x) for x in lines[4].split()] == [2, 2, 4, 2, 4, 2]
    assert all(len(line) <= 80 for line in lines)
    loop = list(Paths(Gaussian(2), z, "lerp", loop=True).report())
    assert [float(x) for x in loop[3].split()][-1] == 10


def test_short_latents_on_straight_paths_are_said():
    z = Gaussian(100).sample(8, generator=torch.Generator().manual_seed(0)).unflatten(0, (4, 2))
    found = list(Paths(Gaussian(100), z, "lerp").report())
    assert found[-2] == "on 4 of 4 paths latents are shorter than the prior's;"
    assert found[-1] == "  --method matched keeps their length"
    assert "shorter" not in " ".join(Paths(Gaussian(100), z).report())
    own = Paths(PRIOR, PRIOR.sample(2)[None])
    assert own.way == "noise by slerp, category by lerp"
