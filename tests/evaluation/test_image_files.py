"""Images of any program: folders at their own size, arrays in NPZ files, and what is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_cli.data.given import resized
from gan_cli.errors import DataError
from gan_cli.evaluation.image_files import ImageArray, ImageFiles

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3)).astype(np.uint8)
LABELS = np.array([0, 1, 1, 0, 1, 0])


def folder(root: Path, pixels: np.ndarray = PIXELS, classes: bool = False) -> Path:
    for i, image in enumerate(pixels):
        place = root / (f"class{LABELS[i]}" if classes else "")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i}.png")
    return root


def read(data: ImageFiles | ImageArray, *places: int) -> np.ndarray:
    images = (data.real(torch.tensor(places)) + 1) * 127.5
    return images.round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def classes(data: ImageFiles | ImageArray) -> list[int]:
    labels = data.labels(torch.arange(len(data)))
    assert labels is not None
    return labels.tolist()


def test_a_folder_is_read_at_its_own_size(tmp_path) -> None:
    data = ImageFiles(folder(tmp_path / "photos"))
    assert (data.spec.name, data.spec.shape, data.spec.size) == ("photos", (3, 4, 5), 6)
    assert np.array_equal(read(data, 5, 0, 5), PIXELS[[5, 0, 5]])
    assert data.labels(torch.arange(6)) is None


def test_grey_files_have_one_channel(tmp_path) -> None:
    assert ImageFiles(folder(tmp_path, PIXELS[..., 0])).spec.shape == (1, 4, 5)


def test_sub_folders_are_classes(tmp_path) -> None:
    data = ImageFiles(folder(tmp_path, classes=True))
    assert data.spec.class_names == ("class0", "class1")
    assert classes(data) == [0, 0, 0, 1, 1, 1]


def test_a_file_of_labels_gives_classes(tmp_path) -> None:
    lines = [f"{i}.png,{name}" for i, name in enumerate("abbaba")]
    (folder(tmp_path) / "labels.csv").write_text("\n".join(lines))
    data = ImageFiles(tmp_path)
    assert data.spec.class_names == ("a", "b")
    assert classes(data) == LABELS.tolist()


def test_the_fingerprint_is_of_the_contents(tmp_path) -> None:
    first = ImageFiles(folder(tmp_path / "a")).fingerprint
    assert ImageFiles(folder(tmp_path / "b")).fingerprint == first
    assert ImageFiles(folder(tmp_path / "c", PIXELS[::-1])).fingerprint != first


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("layout", ["channels last", "channels first", "grey"])
def test_an_array_is_mapped(tmp_path, save, layout) -> None:
    pixels = PIXELS[..., :1] if layout == "grey" else PIXELS
    stored = {"channels last": pixels, "channels first": pixels.transpose(0, 3, 1, 2)}
    save(tmp_path / "x.npz", stored.get(layout, pixels[..., 0]), LABELS)
    data = ImageArray(tmp_path / "x.npz")
    assert data.spec.shape == (pixels.shape[3], 4, 5)
    assert np.array_equal(read(data, 3, 1), pixels[[3, 1]])
    assert classes(data) == LABELS.tolist()
    assert data.spec.class_counts == (3, 3)


def test_an_array_in_fortran_order_is_the_same(tmp_path) -> None:
    np.savez(tmp_path / "x.npz", images=np.asfortranarray(PIXELS))
    assert np.array_equal(read(ImageArray(tmp_path / "x.npz"), 2), PIXELS[[2]])


def empty(root: Path) -> None:
    root.mkdir()


def sizes(root: Path) -> None:
    folder(root)
    Image.fromarray(PIXELS[0, :3]).save(root / "z.png")


def broken(root: Path) -> None:
    (folder(root) / "z.png").write_bytes(b"nonsense")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda root: None, "photos: no such folder"),
        (empty, "photos: holds no images; PNG"),
        (sizes, r"several sizes \(0.png is 4x5, z.png 3x5\)"),
        (broken, r"1 of 7 images cannot be read(.|\n)*z.png: not a PNG"),
    ],
)
def test_a_folder_that_cannot_be_compared_is_refused(tmp_path, make, says) -> None:
    make(tmp_path / "photos")
    with pytest.raises(DataError, match=says):
        ImageFiles(tmp_path / "photos")


def test_a_file_that_is_cut_is_named_when_it_is_read(tmp_path) -> None:
    path = folder(tmp_path) / "3.png"
    path.write_bytes(path.read_bytes()[:-40])
    data = ImageFiles(tmp_path)
    with pytest.raises(DataError, match=r"3\.png: damaged"):
        read(data, 3)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({}, "holds no array"),
        ({"arr_0": PIXELS / 255}, "of type float64"),
        ({"arr_0": PIXELS[0, 0]}, r"shape \[5, 3\]"),
        ({"arr_0": PIXELS[:0]}, r"shape \[0, 4, 5, 3\]"),
        ({"arr_0": PIXELS[:, :, :, [0, 0]]}, "1 or 3 channels needed"),
        ({"arr_0": np.array([{}])}, "Python objects"),
        ({"arr_0": PIXELS, "labels": LABELS[:3]}, "one class for each image"),
    ],
)
def test_an_npz_file_without_images_is_refused(tmp_path, arrays, says) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError, match=says):
        ImageArray(tmp_path / "x.npz")


def test_a_file_that_is_no_npz_is_refused(tmp_path) -> None:
    (tmp_path / "x.npz").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="is not an NPZ file"):
        ImageArray(tmp_path / "x.npz")


@pytest.mark.parametrize(
    "header", [b"{'descr': '|u1', 'fortran_order': False, 'shape': (", b"{", b"[" * 5000, b"\0"]
)
def test_a_header_that_is_no_header_is_one_line(tmp_path, header: bytes) -> None:
    path = tmp_path / "x.npz"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("arr_0.npy", array)
    with pytest.raises(DataError, match=r"x\.npz: arr_0 cannot be read: ") as error:
        ImageArray(path)
    assert "\n" not in str(error.value)


def test_names_of_broken_images_stay_on_a_line(tmp_path) -> None:
    (tmp_path / "a\nb.png").write_bytes(b"no image")
    with pytest.raises(DataError) as error:
        resized([str(tmp_path)], (3, 4, 4))
    assert str(error.value).startswith(f"{tmp_path}/a\\nb.png: ")
    assert "\n" not in str(error.value)
