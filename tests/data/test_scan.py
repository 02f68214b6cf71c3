import errno
import os
import re
from pathlib import Path

import pytest
from pictures import encoded, halves
from PIL import Image

from gan_cli.data.scan import classify, scan
from gan_cli.errors import DataError

PNG = encoded(halves(4, 4), "PNG")


def tree(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def found(root: Path) -> list[str]:
    return [entry.path for entry in scan(root)]


def test_images_are_found_at_any_depth_in_the_order_of_paths(tmp_path: Path) -> None:
    names = ["b/x/y/z.png", "a.PNG", "b/c.jpeg", "b.bmp", "a/ü.webp", "d.jfif"]
    assert found(tree(tmp_path, dict.fromkeys(names, b"x"))) == sorted(names)


def test_hidden_files_and_other_files_are_left_alone(tmp_path: Path) -> None:
    others = [
        ".a.png",
        ".git/b.png",
        "__MACOSX/c.png",
        "README.md",
        "labels.csv",
        "x.npy",
        "LICENSE",
    ]
    assert found(tree(tmp_path, dict.fromkeys(others, b"x") | {"a.png": b""})) == ["a.png"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_images_are_known_by_their_content_where_the_name_says_nothing(
    tmp_path: Path, kind: str
) -> None:
    image = encoded(Image.new("RGB", (8, 8)), kind)
    tree(tmp_path, {"photo": image, "photo.dat": image, "notes.txt": image, "data.bin": b"BMx"})
    assert found(tmp_path) == ["photo", "photo.dat"]


def test_formats_that_cannot_be_read_are_not_dropped(tmp_path: Path) -> None:
    assert found(tree(tmp_path, {"a.gif": b"x", "b.HEIC": b"x", "c.tif": b"x"})) == [
        "a.gif",
        "b.HEIC",
        "c.tif",
    ]


def test_links_are_followed_once(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", {"a.png": PNG})
    tree(tmp_path / "other", {"b.png": PNG})
    (root / "other").symlink_to(tmp_path / "other")
    (root / "loop").symlink_to(root)
    (root / "gone.png").symlink_to(tmp_path / "nothing")
    assert found(root) == ["a.png", "gone.png", "other/b.png"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "no such folder; a folder of images is needed"),
        (lambda root: root.write_bytes(PNG), "a file, not a folder"),
        (lambda root: root.mkdir(), "holds no images; PNG, JPEG, WebP or BMP files are needed"),
    ],
)
def test_a_folder_without_images_is_named(tmp_path: Path, make, message: str) -> None:
    root = tmp_path / "images"
    make(root)
    with pytest.raises(DataError, match=re.escape(f"data.root = {root}: {message}")):
        scan(root)


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch) -> None:
    locked = tree(tmp_path, {"a.png": PNG, "locked/b.png": PNG}) / "locked"
    really = os.scandir

    def scandir(folder):  # root may read everything, so the refusal is played
        if Path(folder) == locked:
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return really(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=f"{locked}: cannot be read: Permission denied"):
        scan(tmp_path)


ROOT = Path("/images")


def test_first_sub_folders_are_classes() -> None:
    assert classify(ROOT, ["cat/a", "cat/x/b", "dog/a"]) == ([0, 0, 1], ("cat", "dog"))


def test_numbered_classes_are_sorted_by_value() -> None:
    assert classify(ROOT, ["10/a", "2/a", "09/a"]) == ([2, 0, 1], ("2", "09", "10"))
    assert classify(ROOT, ["10/a", "2/a", "x/a"])[1] == ("10", "2", "x")


@pytest.mark.parametrize(
    "paths", [["a", "b"], ["all/a", "all/b"], ["x/y/a", "x/z/b"], ["a/1", "c"]]
)
def test_none_or_one_sub_folder_makes_no_classes(paths: list[str]) -> None:
    assert classify(ROOT, paths) == (None, ())


def test_images_beside_class_folders_are_refused() -> None:
    message = (
        "data.root = /images: beside the class folders (a, b) lie images without a class (2); "
        "move them into one, or set data.classes=none"
    )
    with pytest.raises(DataError, match=re.escape(message)):
        classify(ROOT, ["a/1", "b/1", "c", "d"])
