import json
import re
from pathlib import Path

import pytest

from gan_cli.data.folder_labels import classify, labels_from, splits_of, wrapped
from gan_cli.errors import ConfigError, DataError

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


def test_train_and_test_with_the_same_content_are_parts() -> None:
    plain = {"train": ("train",), "test": ("test",), "all": ("train", "test")}
    assert splits_of(ROOT, ["train/a", "test/b"], True) == plain
    classes = ["train/cat/1", "train/dog/x/2", "test/dog/1", "test/cat/1"]
    assert splits_of(ROOT, classes, True) == plain


def test_a_part_for_validation_is_the_test_where_there_is_no_other() -> None:
    found = splits_of(ROOT, ["Train/a", "Valid/b"], True)
    assert found == {"train": ("Train",), "test": ("Valid",), "all": ("Train", "Valid")}
    three = splits_of(ROOT, ["train/a", "val/b", "test/c"], True)
    assert three == {"train": ("train",), "test": ("test",), "all": ("train", "test", "val")}


@pytest.mark.parametrize(
    "paths",
    [
        ["train/a", "cat/b"],
        ["test/a", "val/b"],
        ["train/cat/a", "train/dog/b"],
        ["trains/a", "boats/b"],
        ["a", "b"],
    ],
)
def test_other_folders_are_no_parts(paths: list[str]) -> None:
    assert splits_of(ROOT, paths, True) == {}


@pytest.mark.parametrize(
    ("paths", "beside"),
    [
        (["train/a", "test/b", "cat/c"], "cat/"),
        (["train/a", "test/b", "c"], "images"),
        (["train/a", "test/b", "cat/x/c", "bird/d", "e"], "bird/, cat/, images"),
    ],
)
def test_what_lies_beside_parts_is_named(paths: list[str], beside: str) -> None:
    message = (
        "data.root = /images: beside train/ and test/, which look like parts for training and "
        f"testing, lie {beside}; move them away, or use all images by data.split=all"
    )
    for by_folder in (True, False):
        with pytest.raises(DataError, match=re.escape(message)):
            splits_of(ROOT, paths, by_folder)
        assert splits_of(ROOT, paths, by_folder, everything=True) == {}


@pytest.mark.parametrize(
    ("paths", "top"),
    [
        (["pets/cat/a", "pets/dog/x/b"], "pets"),
        (["pets/cat/a", "pets/cat/b"], ""),  # no classes there either
        (["pets/cat/a", "pets/dog/b", "c"], ""),
        (["pets/cat/a", "pets/b"], ""),
        (["cat/a", "dog/b"], ""),
        (["a", "b"], ""),
    ],
)
def test_one_folder_around_all_classes(paths: list[str], top: str) -> None:
    assert wrapped(paths) == top


@pytest.mark.parametrize(
    ("paths", "differing"),
    [
        (["train/a/1", "train/b/1", "test/a/1", "test/c/1"], "b, c"),
        (["train/a/1", "train/b/1", "test/1"], "a, b"),
        (["train/a/1", "train/2", "test/a/1"], "images next to folders"),
    ],
)
def test_parts_whose_classes_differ_are_refused(paths: list[str], differing: str) -> None:
    message = (
        "data.root = /images: train/ and test/ look like parts for training and testing, but "
        f"their sub-folders differ ({differing}); make them the same, name one of the two as "
        "data.root, or set data.classes=none"
    )
    with pytest.raises(DataError, match=re.escape(message)):
        splits_of(ROOT, paths, True)
    assert set(splits_of(ROOT, paths, False)) == {"train", "test", "all"}


PATHS = ["a.png", "b/c.png"]


def written(root: Path, name: str, text: str | bytes) -> str:
    (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.csv", "a.png,7\nb/c.png,3\n"),
        ("labels.csv", "\ufefffile,label\r\n./a.png , 7\r\n\r\nb\\c.png,3\r\nelse.png,9"),
        ("labels.tsv", "a.png\t7\nb/c.png\t3"),
        ("labels.txt", '"a.png";7\n"b/c.png";3'),
        ("dataset.json", json.dumps({"labels": [["a.png", 7], ["b/c.png", 3], ["d.png", 1]]})),
    ],
)
def test_labels_are_read_from_a_file(tmp_path: Path, name: str, text: str) -> None:
    found = labels_from(tmp_path, written(tmp_path, name, text), PATHS, PATHS)
    assert found == {"a.png": "7", "b/c.png": "3"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("l.csv", "a.png,7", "1 of 2 images have no label in it (b/c.png); paths are needed as"),
        ("l.csv", "a.png,7\nb/c.png,3\na.png,8", "line 3: a.png is of class 7 and of 8"),
        ("l.csv", "a.png,7,8", "line 1: two columns are needed, a path and a class"),
        ("l.csv", "a.png,", "line 1: two columns are needed"),
        ("l.csv", b"\xff", "is not UTF-8 text"),
        ("l.csv", "a.png," + "7" * 200_000, "line 1: field larger than field limit"),
        ("l.json", "{", "is not JSON"),
        ("l.json", "[" * 100_000, "is not JSON"),
        ("l.json", '{"labels": null}', 'a list "labels" of [path, number] is needed'),
        ("l.json", '{"labels": [["a.png", [0, 1]]]}', "label 0: [path, number] is needed"),
        ("l.json", '{"labels": [["a.png", true]]}', "label 0: [path, number] is needed"),
    ],
)
def test_files_of_labels_that_do_not_fit_are_named(
    tmp_path: Path, name: str, text: str | bytes, message: str
) -> None:
    with pytest.raises(DataError, match=re.escape(f"data.labels = {name}: {message}")):
        labels_from(tmp_path, written(tmp_path, name, text), PATHS, PATHS)


def test_a_missing_file_of_labels_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data.labels = l.csv: no such file in "):
        labels_from(tmp_path, "l.csv", PATHS, PATHS)


def test_images_of_another_part_need_no_label(tmp_path: Path) -> None:
    name = written(tmp_path, "l.csv", "a.png,7")
    assert labels_from(tmp_path, name, PATHS, ["a.png"]) == {"a.png": "7"}
