import pytest
import torch
from painting import subject
from pretending import Pretender

from gan_cli.data.dataset import Dataset
from gan_cli.data.toy import Ring
from gan_cli.evaluation import training_neighbours
from gan_cli.evaluation.measures.memorisation import Memorisation, lookups, nearest_to, pairs

CPU = torch.device("cpu")


class Noise(Dataset):
    """Images of noise."""

    def __init__(self, size: int = 4000, side: int = 4, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        images = torch.randint(0, 256, (size, 1, side, side), generator=generator)
        super().__init__("noise", images.to(torch.uint8))


TRAIN = Noise()
NODE = {"_target_": "gan_cli.data.toy.Ring"}  # which does not come in parts


def figures(decode, known: Dataset = TRAIN) -> tuple[dict, list]:
    model = Pretender(known, lambda z, _: decode(z))
    found = Memorisation().measure(subject(model=model, node=NODE, known=known))
    return {figure.name: figure for figure in found.values}, list(found.pictures)


def test_the_nearest_image_by_hand() -> None:
    class Three(Dataset):
        def __init__(self) -> None:
            levels = torch.tensor([10, 50, 200], dtype=torch.uint8)
            super().__init__("three", levels.view(3, 1, 1, 1).expand(3, 1, 2, 2).contiguous())

    queries = torch.tensor([12, 120, 255], dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    distance, places = nearest_to(Three(), queries, CPU)
    assert places.tolist() == [0, 1, 2]
    assert distance.tolist() == [4, 140, 110]  # twice the difference, of four pixels
    distance, places = nearest_to(Three(), queries, CPU, without=torch.tensor([1]))
    assert places.tolist() == [0, 2, 2]
    assert distance.tolist() == [4, 160, 110]


def test_pieces_change_nothing(monkeypatch) -> None:
    queries = Noise(20, seed=1).values
    whole = nearest_to(TRAIN, queries, CPU)
    monkeypatch.setattr(training_neighbours, "PIECE", 7 * 16)
    for a, b in zip(whole, nearest_to(TRAIN, queries, CPU), strict=True):
        assert torch.equal(a, b)


def test_copies_are_seen() -> None:
    def copy(z: torch.Tensor) -> torch.Tensor:
        return TRAIN.real((z[:, 0].abs() * 1e4).long() % len(TRAIN))

    found, pictures = figures(copy)
    assert found["nearest_training_distance"].value == 0
    assert found["nearest_training_ratio"].value == 0
    assert found["near_copy_share"].value == 1
    assert found["near_copy_share"].baseline < 0.03
    # Samples and what they are nearest to are the same picture.
    assert [picture.name for picture in pictures] == [
        "nearest_training_images",
        "closest_training_images",
    ]
    table = pictures[0].image
    assert (table[2:6] == table[8:12]).all()


def test_fresh_images_are_as_far_as_real_ones_are() -> None:
    def fresh(z: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator().manual_seed(int(z[0, 0].abs() * 1e6))
        return torch.rand(len(z), 1, 4, 4, generator=generator) * 2 - 1

    found, _ = figures(fresh)
    assert found["nearest_training_ratio"].value == pytest.approx(1, abs=0.05)
    assert found["near_copy_share"].value < 0.05
    assert found["nearest_training_distance"].baseline > 20


def test_with_a_test_part_that_is_what_unseen_images_are_of() -> None:
    model = Pretender(TRAIN, lambda z, _: TRAIN.real(torch.arange(len(z))))
    judged = subject(model=model, known=TRAIN)
    judged.truth._sets["test"] = Noise(200, seed=2)
    found = Memorisation().measure(judged)
    assert found.values[0].protocol["floor"] == "of 200 test images"
    assert found.values[0].value == 0
    judged.truth._sets["test"] = Noise(200, seed=3)  # whose baseline is another
    other = Memorisation().measure(judged)
    assert other.values[0].baseline != found.values[0].baseline


def test_many_or_large_training_images_are_looked_up_for_fewer() -> None:
    class Large(Dataset):
        def __init__(self, size: int, side: int) -> None:
            super().__init__("large", torch.empty(1, 3, side, side, dtype=torch.uint8))
            self.spec = Noise(1).spec.__class__("large", (3, side, side), size)

    assert lookups(Large(60_000, 16)) == 512
    assert lookups(Large(50_000, 32)) == 390
    assert lookups(Large(200_000, 64)) == 64
    assert lookups(Large(100, 64)) == 5


def test_the_table_shows_samples_above_their_neighbours() -> None:
    above = torch.full((10, 1, 2, 2), 255, dtype=torch.uint8)
    table = pairs(above, above * 0)
    assert table.shape == (2 + 2 * 4, 2 + 8 * 4, 1)  # one whole row of eight, and their neighbours
    assert table[2, 2, 0] == 255
    assert table[6, 2, 0] == 0
    assert pairs(above[:3], above[:3]).shape == (10, 2 + 3 * 4, 1)


def test_points_are_not_images() -> None:
    ring = Ring(points=10)
    node = {"_target_": "gan_cli.data.toy.Ring"}
    one = subject(model=Pretender(ring, lambda z, _: z), node=node, known=ring)
    assert "points" in Memorisation().unfit(one)
    assert Memorisation().unfit(subject()) == ""
