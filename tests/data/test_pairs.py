"""Pairs of images, unpaired sets, and inputs that are made."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_cli.data.folder import Folder
from gan_cli.data.pairs import Derived, Pairs, Unpaired, brightness, edges
from gan_cli.errors import ConfigError, DataError


def picture(path: Path, level: int, size: tuple[int, int] = (16, 16)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0], 3), level, np.uint8)).save(path)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path / "cache"))


def levels(x: torch.Tensor) -> list[int]:
    return ((x + 1) * 127.5).round().flatten(1)[:, 0].int().tolist()


def folders(root: Path, names: str = "abc", other: str | None = None) -> Path:
    for side, which, first in (("A", names, 10), ("B", other or names, 100)):
        for index, name in enumerate(which):
            picture(root / side / f"{name}.png", first + index)
    return root


def test_equal_names_belong_together(tmp_path: Path) -> None:
    data = Pairs(str(folders(tmp_path / "pairs")), size=16, channels=3)
    index = torch.tensor([2, 0])
    assert levels(data.source(index)) == [12, 10]
    assert levels(data.real(index)) == [102, 100]
    assert data.spec.source == (3, 16, 16)
    other = Pairs(str(tmp_path / "pairs"), size=16, channels=3, reverse=True)
    assert levels(other.source(index)) == [102, 100]
    assert data.fingerprint != other.fingerprint


def test_two_in_one_file(tmp_path: Path) -> None:
    both = np.full((16, 32, 3), 7, np.uint8)
    both[:, 16:] = 200
    (tmp_path / "both").mkdir()
    Image.fromarray(both).save(tmp_path / "both" / "1.png")
    data = Pairs(str(tmp_path / "both"), source=None, target=None, size=16, channels=3)
    data.to("cpu")
    index = torch.tensor([0])
    assert levels(data.source(index)) == [7]
    assert levels(data.real(index)) == [200]
    assert data.source(index).shape == data.real(index).shape == (1, 3, 16, 16)


def test_each_of_two_in_one_is_cut_and_resized_by_itself(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (60, 80, 3), np.uint8)
    for name, pixels in (("both", np.concatenate([noise, 255 - noise], 1)), ("left", noise)):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "1.png")
    data = Pairs(str(tmp_path / "both"), source=None, target=None, size=16, channels=3)
    alone = Folder(str(tmp_path / "left"), size=16, channels=3).real(torch.tensor([0]))
    torch.testing.assert_close(data.source(torch.tensor([0])), alone, rtol=0, atol=0)
    inverse = data.real(torch.tensor([0]))
    torch.testing.assert_close(inverse, -alone, rtol=0, atol=2 / 255 + 1e-6)  # by its rounding


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    root = folders(tmp_path / "pairs")
    picture(root / "A" / "a.bmp", 3)
    words = "pairs/A: 1 names stand for several images, which differ by their endings alone (a)"
    with pytest.raises(DataError, match=re.escape(words)):
        Pairs(str(root), size=16)


def test_a_device_has_each_table_once(tmp_path: Path) -> None:
    data = Pairs(str(folders(tmp_path / "pairs")), size=16).to("meta")
    assert data.values is data.target_images.values
    assert data.values.device.type == data.inputs.values.device.type == "meta"
    assert data.resident
    data.inputs.device = torch.device("cpu")  # as if it had not found room
    assert not data.resident


def test_unpaired_sets_of_different_sizes_come_round(tmp_path: Path) -> None:
    root = folders(tmp_path / "sets", "abcde", "xy")
    data = Unpaired(str(root), size=16, channels=3)
    index = torch.arange(5)
    assert data.spec.size == 5
    assert sorted(levels(data.source(index))) == [10, 11, 12, 13, 14]
    assert levels(data.real(index)) == [100, 101, 100, 101, 100]


def test_cyclegan_s_folders_and_their_test_parts(tmp_path: Path) -> None:
    for part, level in (("trainA", 1), ("trainB", 2), ("testA", 3), ("testB", 4)):
        picture(tmp_path / "horses" / part / "1.png", level)
    root = str(tmp_path / "horses")
    assert Unpaired.comes_in_parts({"root": root})
    index = torch.tensor([0])
    assert levels(Unpaired(root, size=16).source(index)) == [1]
    assert levels(Unpaired(root, size=16, split="test").real(index)) == [4]
    with pytest.raises(ConfigError, match=r"data.split = all: .* has trainA and testA apart"):
        Unpaired(root, size=16, split="all")


@pytest.mark.parametrize(
    ("names", "other", "message"),
    [
        ("abc", "abd", r"2 images have no partner of their name in the other folder \(c, d\)"),
        ("ab", "abc", r"1 images have no partner"),
    ],
)
def test_what_is_not_paired_is_refused(
    names: str, other: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        Pairs(str(folders(tmp_path / "x", names, other)), size=16)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (
            (16, 16),
            r"1 images are not two images side by side \(2.png is 16x16\); give the folders",
        ),
        ((33, 16), r"1 images have an odd width, so no two equal halves \(2.png is 33x16\); cut"),
    ],
)
def test_images_that_have_no_two_halves_are_refused(
    size: tuple[int, int], message: str, tmp_path: Path
) -> None:
    picture(tmp_path / "one" / "1.png", 5, (32, 16))
    picture(tmp_path / "one" / "2.png", 5, size)
    with pytest.raises(DataError, match=message):
        Pairs(str(tmp_path / "one"), source=None, target=None, size=16)


def test_a_folder_of_two_in_one_is_told_its_settings(tmp_path: Path) -> None:
    picture(tmp_path / "one" / "1.png", 5, (32, 16))
    with pytest.raises(DataError, match=r"has neither folder, A or B;.*data.source=null"):
        Pairs(str(tmp_path / "one"), size=16)


def test_inputs_and_targets_of_other_proportions_are_refused(tmp_path: Path) -> None:
    root = folders(tmp_path / "x")
    picture(root / "B" / "b.png", 9, (24, 16))
    message = r"1 inputs have other proportions than their targets \(b.png is 16x16 and 24x16\)"
    with pytest.raises(DataError, match=message):
        Pairs(str(root), size=16)


@pytest.mark.parametrize("size", [(32, 32), (7, 7), (33, 32)])
def test_inputs_of_another_size_in_the_same_proportions(
    size: tuple[int, int], tmp_path: Path
) -> None:
    """A difference below one pixel of the smaller image is a rounding."""
    root = folders(tmp_path / "x")
    picture(root / "A" / "b.png", 9, size)
    assert len(Pairs(str(root), size=16)) == 3


def test_a_photograph_on_its_side_has_the_proportions_it_is_shown_with(tmp_path: Path) -> None:
    for side, size, turned in (("A", (24, 16), 6), ("B", (16, 24), 1)):
        (tmp_path / side).mkdir()
        exif = Image.Exif()
        exif[0x0112] = turned
        Image.new("RGB", size).save(tmp_path / side / "1.jpg", exif=exif)
    assert len(Pairs(str(tmp_path), size=16)) == 1


class TestDerived:
    @pytest.mark.parametrize(
        ("made", "shape"),
        [("edges", (1, 28, 28)), ("half", (1, 28, 28)), ("hole", (1, 28, 28)), ("low", (1, 7, 7))],
    )
    def test_shapes(self, made: str, shape: tuple[int, int, int]) -> None:
        data = Derived(input=made, split="test")
        assert data.spec.source == shape
        assert data.source(torch.arange(3)).shape == (3, *shape)
        assert data.spec.name == f"mnist_{made}"

    def test_what_is_hidden_is_grey_and_the_rest_as_it_was(self) -> None:
        for made, hidden in (
            ("half", (slice(14, 28), slice(0, 28))),
            ("hole", (slice(7, 21),) * 2),
        ):
            data = Derived(input=made, split="test")
            index = torch.arange(4)
            real, given = data.real(index), data.source(index)
            assert given[:, :, *hidden].abs().max() == 0
            changed = (given != real)[:, :, *hidden].sum()
            assert (given != real).sum() == changed

    def test_low_resolution_keeps_the_mean(self) -> None:
        data = Derived(input="low", factor=2, split="test")
        index = torch.arange(5)
        torch.testing.assert_close(
            data.source(index).mean((1, 2, 3)), data.real(index).mean((1, 2, 3))
        )

    def test_an_edge_is_where_the_brightness_steps(self) -> None:
        x = torch.full((1, 3, 6, 6), -1.0)
        x[..., 3:] = 1
        found = edges(x)[0, 0]
        assert (found[:, [0, 1, 4, 5]] == -1).all()
        assert (found[:, [2, 3]] == 1).all()
        assert (edges(torch.full((1, 1, 4, 4), 0.3)) == -1).all()

    def test_brightness_of_grey_is_its_level(self) -> None:
        torch.testing.assert_close(
            brightness(torch.full((1, 3, 2, 2), 0.4)), torch.full((1, 1, 2, 2), 0.4)
        )

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"input": "low", "size": 30}, r"data.factor = 4: .* set data.size=\[28,28\]"),
            ({"input": "low", "factor": 3}, "data.factor = 3: must be 2, 4 or 8"),
            ({"input": "grey"}, "data.input = grey: mnist is grey already"),
            ({"of": "ring"}, "data.of = ring: must be one of mnist, fashion_mnist"),
            ({"of": "folder"}, "data.root = null: the folder of images is needed"),
        ],
    )
    def test_what_cannot_be(self, settings: dict, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            Derived(split="test", **settings)
