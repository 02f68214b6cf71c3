"""The nearest training images against all distances, and the sheet that shows them."""

import pytest
import torch
from test_memorisation_measure import Noise
from torch import Tensor

from gan_cli.errors import ConfigError
from gan_cli.evaluation import training_neighbours
from gan_cli.evaluation.metric import Extractor
from gan_cli.evaluation.training_neighbours import NeighbourSheet, nearest_in

CPU = torch.device("cpu")
TRAIN = Noise(300)


class Brightness(Extractor):
    """The mean of each image."""

    name, width, identity, resize = "brightness", 1, "0", "none"

    def features(self, images: Tensor) -> tuple[Tensor, None]:
        return images.float().mean((1, 2, 3))[:, None], None


def brute(queries: Tensor, bank: Tensor, k: int) -> Tensor:
    """Places [n, k] of the nearest of `bank`."""
    return torch.cdist(queries.double().flatten(1), bank.double().flatten(1)).argsort(1)[:, :k]


@pytest.mark.parametrize("piece", [1 << 24, 7 * 16])
def test_the_nearest_of_all_or_of_some(monkeypatch, piece: int) -> None:
    monkeypatch.setattr(training_neighbours, "PIECE", piece)
    queries = Noise(20, seed=1).values
    found = nearest_in(TRAIN, queries, CPU, k=4)
    assert torch.equal(found.places, brute(queries, TRAIN.values, 4))
    assert (found.distance.diff(dim=1) >= 0).all()
    some = torch.arange(0, 300, 3)
    found = nearest_in(TRAIN, queries, CPU, some, k=2)
    assert torch.equal(found.places, some[brute(queries, TRAIN.values[some], 2)])


def test_features_are_compared_in_place_of_pixels() -> None:
    network, queries = Brightness(), Noise(5, seed=1).values
    found = nearest_in(TRAIN, queries, CPU, k=3, represent=lambda x: network.features(x)[0])
    wanted, known = (network.features(x)[0].double() for x in (queries, TRAIN.values))
    torch.testing.assert_close(found.distance, torch.cdist(wanted, known).sort(1).values[:, :3])
    torch.testing.assert_close(
        (known[found.places] - wanted[:, None]).abs()[..., 0], found.distance
    )


def test_a_sheet_shows_samples_beside_their_neighbours() -> None:
    drawn = torch.cat([Noise(3, seed=1).values, TRAIN.values[7:8]])
    found = NeighbourSheet.find(TRAIN, drawn, 4, 2, Brightness(), CPU)
    assert list(found.columns) == ["pixels", "features"]
    pixels, images = found.columns["pixels"]
    assert pixels.places[3, 0] == 7
    assert pixels.distance[3, 0] == 0
    assert torch.equal(images[3, 0], drawn[3])
    picture = found.picture(zoom=20)[-82:-2, -(7 * 82 + 2) :]
    cells = [picture[::20, 2 + 82 * i :][:, :80:20, 0] for i in range(7)]
    # The sample, two kinds of two neighbours, an empty column before each.
    for i in (0, 2, 5):
        assert (cells[i] == drawn[3, 0].numpy()).all()
    assert (cells[1] == 255).all()
    assert (cells[4] == 255).all()
    assert [column.header for column in found.table().columns] == [
        "sample",
        "in pixels",
        "distance",
        "in features",
        "distance",
    ]


def test_the_closest_of_many_come_first() -> None:
    drawn = torch.cat([Noise(30, seed=1).values, TRAIN.values[[9, 4]]])
    found = NeighbourSheet.find(TRAIN, drawn, 3, 1, None, CPU)
    assert found.numbers.tolist()[:2] == [30, 31]
    assert found.columns["pixels"][0].distance[:, 0].tolist()[:2] == [0, 0]
    assert len(found.images) == 3


def test_there_must_be_as_many_images_as_neighbours() -> None:
    with pytest.raises(ConfigError, match="-k 6: there are 5 training images to look at"):
        NeighbourSheet.find(TRAIN, TRAIN.values[:2], 2, 6, None, CPU, among=5)


def test_mirrored_copies_are_found_where_training_mirrors() -> None:
    mirrored = Noise(300)
    mirrored.flips = True
    queries = torch.cat([TRAIN.values[3:5].flip(-1), TRAIN.values[7:8], Noise(5, seed=1).values])
    found = nearest_in(mirrored, queries, CPU, k=4)
    assert found.places[:3, 0].tolist() == [3, 4, 7]
    assert found.distance[:3, 0].tolist() == [0, 0, 0]
    assert nearest_in(TRAIN, queries[:2], CPU).distance.min() > 0
    both = torch.stack(
        [
            torch.cdist(x.double().flatten(1), TRAIN.values.double().flatten(1))
            for x in (queries, queries.flip(-1))
        ]
    ).amin(0)
    nearest = both.sort(1)
    assert torch.equal(found.places, nearest.indices[:, :4])  # each once
    torch.testing.assert_close(found.distance, nearest.values[:, :4])
