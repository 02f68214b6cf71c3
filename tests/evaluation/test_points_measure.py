import math

import pytest
import torch
from painting import subject
from pretending import Pretender

from gan_cli.data.dataset import Dataset
from gan_cli.data.toy import Gaussian1D, Grid
from gan_cli.evaluation.measures.toy import Points

LINE = Gaussian1D(points=20_000)
GRID = Grid(points=8000)


def figures(data: Dataset, decode, target: str, samples: int = 4000) -> dict:
    node = {"_target_": f"gan_cli.data.toy.{target}"}
    model = Pretender(data, lambda z, _: decode(z), latents=data.spec.shape[0])
    found = Points().measure(subject(model=model, node=node, known=data, samples=samples))
    return {figure.name: figure for figure in found.values}


def test_on_the_line_a_shift_has_its_closed_forms() -> None:
    found = figures(LINE, lambda z: 4.5 + 0.5 * z, "Gaussian1D")
    assert list(found) == ["wasserstein_1", "forward_kl", "reverse_kl", "js", "energy_distance"]
    # Standard error of a mean of 4,000: .5 / 63 = .008; four of them.
    assert found["wasserstein_1"].value == pytest.approx(0.5, abs=0.032)
    assert found["reverse_kl"].value == pytest.approx(0.5, abs=0.08)
    assert found["forward_kl"].value == pytest.approx(0.5, abs=0.1)
    # In units of the deviation .5: that of N(0, 1) and N(1, 1).
    across = 2 / math.sqrt(math.pi) * math.exp(-1 / 4) + math.erf(1 / 2)
    expected = 0.5 * (2 * across - 4 / math.sqrt(math.pi))
    assert found["energy_distance"].value == pytest.approx(expected, abs=0.05)


def test_a_perfect_sampler_is_at_its_baseline() -> None:
    found = figures(LINE, lambda z: 4 + 0.5 * z, "Gaussian1D")
    # Wasserstein-1 of 4,000 exact draws is about .5 / 63 = .008, KL 0 +- .002, JS 1 / (8 63).
    for name, limit in (("wasserstein_1", 0.03), ("reverse_kl", 0.02), ("js", 0.01)):
        assert abs(found[name].value) < limit, name
        assert abs(found[name].baseline) < limit, name
    assert abs(found["energy_distance"].value) < 0.004
    assert found["js"].protocol["estimator"].startswith("cells")


def test_in_the_plane_distances_come_from_samples() -> None:
    found = figures(GRID, lambda z: z, "Grid", samples=1000)
    assert list(found) == ["energy_distance", "sliced_wasserstein"]
    for figure in found.values():
        assert figure.value > 3 * abs(figure.baseline)
        assert figure.protocol["samples"] == 1000


def test_a_point_set_without_known_density_is_compared_by_samples() -> None:
    class Numbers(Dataset):
        def __init__(self) -> None:
            super().__init__("numbers", torch.arange(300.0)[:, None] / 300)

    found = figures(Numbers(), lambda z: z + 5, "Grid", samples=400)
    assert list(found) == ["wasserstein_1", "energy_distance"]
    assert found["wasserstein_1"].value == pytest.approx(4.5, abs=0.5)
    assert found["wasserstein_1"].protocol["samples"] == 150


def test_images_are_not_points() -> None:
    assert "images" in Points().unfit(subject())
    node = {"_target_": "gan_cli.data.toy.Grid"}
    model = Pretender(GRID, lambda z, _: z, latents=2)
    assert Points().unfit(subject(model=model, node=node, known=GRID)) == ""
