import pytest
import torch
from painting import Pictures, subject
from pretending import Pretender
from torch import Tensor

from gan_cli.data.dataset import Dataset
from gan_cli.evaluation.measures.diversity import MSSSIM, Diversity

DATA = Pictures()


def figures(decode, conditional: bool = False, samples: int = 150) -> dict:
    model = Pretender(DATA, decode, conditional=conditional)
    found = Diversity().measure(subject(model=model, known=DATA, samples=samples))
    return {figure.name: figure for figure in found.values}


def real(z: Tensor, y: Tensor | None) -> Tensor:
    """Real images by chance, of the classes that are asked for."""
    chance = (z[:, 0].abs() * 1e5).long()
    return DATA.real(chance % 300 if y is None else 100 * y + chance % 100)


def test_real_images_are_as_diverse_as_real_images() -> None:
    found = figures(real)
    assert list(found) == ["pairwise_distance", "diversity_ratio", "sliced_wasserstein"]
    assert found["diversity_ratio"].value == pytest.approx(1, abs=0.1)
    assert found["diversity_ratio"].baseline == pytest.approx(1, abs=0.1)
    assert found["pairwise_distance"].value == pytest.approx(
        found["diversity_ratio"].value * found["pairwise_distance"].baseline
    )
    assert found["sliced_wasserstein"].value < 3 * found["sliced_wasserstein"].baseline


def test_one_image_alone_has_no_diversity() -> None:
    found = figures(lambda z, _: torch.zeros(len(z), 1, 4, 4))
    assert found["pairwise_distance"].value == found["diversity_ratio"].value == 0
    assert found["sliced_wasserstein"].value > 5 * found["sliced_wasserstein"].baseline


def test_within_classes_a_collapse_shows_that_the_whole_hides() -> None:
    def one_each(z: Tensor, y: Tensor | None) -> Tensor:
        assert y is not None
        return (y.view(-1, 1, 1, 1) - 1).float().expand(-1, 1, 4, 4) * 0.6

    found = figures(one_each, conditional=True)
    assert found["diversity_ratio"].value > 0.5
    assert found["class_diversity_ratio"].value == found["class_diversity_least"].value == 0
    assert found["class_diversity_ratio"].baseline == pytest.approx(1, abs=0.1)


def test_the_least_diverse_class_is_named() -> None:
    def b_collapsed(z: Tensor, y: Tensor | None) -> Tensor:
        images = real(z, y)
        return images if y is None else torch.where(y.view(-1, 1, 1, 1) == 1, 0.0, images)

    found = figures(b_collapsed, conditional=True)
    assert found["class_diversity_least"].value == 0
    assert found["class_diversity_least"].note == "of the least diverse class, b"
    assert found["class_diversity_ratio"].value == pytest.approx(2 / 3, abs=0.05)


def test_distances_by_hand() -> None:
    def two(z: Tensor, _: Tensor | None) -> Tensor:
        levels = torch.tensor([100.0, 130.0]).repeat(len(z) // 2)
        return (levels / 127.5 - 1).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)

    # Half of 64 images at 100 and half at 130: 32 * 32 of 64 * 63 / 2 pairs are 30 apart.
    found = figures(two, samples=64)
    assert found["pairwise_distance"].value == pytest.approx(30 * 1024 / 2016)


class Large(Dataset):
    """60 images of 16 pixels a side in three classes, which differ in their noise alone."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(256, (60, 1, 16, 16), generator=generator).byte()
        super().__init__("large", images, torch.arange(60) % 3, ("a", "b", "c"))


def likeness(decode, conditional: bool) -> dict:
    data = Large()
    model = Pretender(data, decode, conditional=conditional)
    found = MSSSIM().measure(subject(model=model, known=data, samples=40)).values
    return {one.name: one for one in found}


def test_ms_ssim_of_pairs_is_one_for_a_single_image_and_small_for_noise() -> None:
    one = likeness(lambda z, _: torch.zeros(len(z), 1, 16, 16), conditional=False)["ms_ssim"]
    assert one.value == pytest.approx(1)
    images = Large().real(torch.arange(60))
    pairs = likeness(lambda z, _: images[(z[:, 0].abs() * 1e5).long() % 60], conditional=False)
    assert pairs["ms_ssim"].value < 0.6
    assert pairs["ms_ssim"].baseline == one.baseline < 0.6
    assert pairs["ms_ssim"].protocol["pairs"] == 20


def test_ms_ssim_is_taken_within_classes_where_these_are_asked_for() -> None:
    images = Large().real(torch.arange(60))

    def same_of_b(z: Tensor, y: Tensor) -> Tensor:
        chance = (z[:, 0].abs() * 1e5).long() % 20
        return images[torch.where(y == 1, 1, 3 * chance + y)]

    found = likeness(same_of_b, conditional=True)
    assert found["ms_ssim_most"].value == pytest.approx(1)
    assert "least diverse class, b" in found["ms_ssim_most"].note
    assert found["ms_ssim"].value < 0.8
    assert found["ms_ssim"].baseline < 0.6
    assert "at least 16 pixels" in MSSSIM().unfit(subject())
