"""The structure of a folder of images: parts for training and testing, and classes.

Parts are folders `train` and `test` (or `val`, `valid`, `validation`) that hold the same
sub-folders, or images alone. Classes are the sub-folders, or come from a file of labels.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from gan_cli.data.scan import read_file, shown
from gan_cli.errors import ConfigError, DataError
from gan_cli.formatting import user_path

TRAIN = frozenset({"train", "training"})
TEST = ("test", "testing", "val", "valid", "validation")  # the first that exists
LARGEST_FILE = 1 << 30  # bytes of labels


def splits_of(
    root: Path, paths: Sequence[str], by_folder: bool, everything: bool = False
) -> dict[str, tuple[str, ...]]:
    """The sub-folders of the parts train, test and all; empty where there are no such parts.

    Args:
        root: the folder.
        paths: of its images.
        by_folder: the sub-folders of the parts are classes, and must be the same.
        everything: all images are wanted, also those that lie beside the parts.

    Raises:
        DataError: folders of those names have different sub-folders, or others beside them.
    """
    inner: dict[str, set[str]] = {}
    for path in paths:
        top, below = ([*path.split("/")[:-1], "", ""])[:2]
        inner.setdefault(top, set()).add(below)
    by_name = {top.lower(): top for top in inner}
    train = [by_name[name] for name in by_name if name in TRAIN]
    others = [by_name[name] for name in TEST if name in by_name]
    if len(train) != 1 or not others:
        return {}
    if beside := inner.keys() - {train[0], *others}:
        if everything:
            return {}
        names = [f"{name}/" for name in sorted(beside - {""})] + ["images"] * ("" in beside)
        raise DataError(
            f"data.root = {root}: beside {train[0]}/ and {others[0]}/, which look like parts for "
            f"training and testing, lie {shown(names)}; move them away, or use all images by "
            "data.split=all"
        )
    if by_folder and any(inner[other] != inner[train[0]] for other in others):
        other = next(one for one in others if inner[one] != inner[train[0]])
        differing = sorted((inner[other] ^ inner[train[0]]) - {""}) or ["images next to folders"]
        raise DataError(
            f"data.root = {root}: {train[0]}/ and {other}/ look like parts for training and "
            f"testing, but their sub-folders differ ({shown(differing)}); make them the same, name "
            "one of the two as data.root, or set data.classes=none"
        )
    return {"train": (train[0],), "test": (others[0],), "all": (train[0], *others)}


def classify(root: Path, paths: Sequence[str]) -> tuple[list[int] | None, tuple[str, ...]]:
    """Labels and class names: the first sub-folder of each path is its class.

    Images that are all in the root, or all in one sub-folder, have no classes. Classes are
    sorted by name, or by value where every name is a number.

    Raises:
        DataError: some images lie in sub-folders and others beside them.
    """
    folders = [path.split("/", 1)[0] if "/" in path else "" for path in paths]
    names = ordered(set(folders) - {""})
    if len(names) < 2:
        return None, ()
    loose = folders.count("")
    if loose:
        raise DataError(
            f"data.root = {root}: beside the class folders "
            f"({shown(names)}) lie images without a "
            f"class ({loose:,}); move them into one, or set data.classes=none"
        )
    number = {name: index for index, name in enumerate(names)}
    return [number[folder] for folder in folders], tuple(names)


def ordered(names: Iterable[str]) -> list[str]:
    """Names of classes sorted as text, or by value where every one is a number."""
    found = sorted(names)
    if all(name.isdecimal() and len(name) < 100 for name in found):
        found.sort(key=lambda name: (int(name), name))
    return found


def wrapped(paths: Sequence[str]) -> str:
    """The one folder that holds all images, in several sub-folders of its own; or nothing."""
    inner = {tuple(path.split("/")[:-1][:2]) for path in paths}
    tops = {folders[0] if folders else "" for folders in inner}
    deep = len(inner) > 1 and all(len(folders) == 2 for folders in inner)
    return tops.pop() if len(tops) == 1 and deep else ""


def labels_from(
    root: Path, name: str, paths: Sequence[str], needed: Sequence[str]
) -> dict[str, str]:
    """Read the classes of the images `paths`, at least of those `needed`, from the file `name`.

    A `.json` file is StyleGAN's: `{"labels": [["00000/img00000000.png", 6], ...]}`. Any other is a
    table with two columns, the path below `root` and the class, with or without a heading. `name`
    is relative to `root`, or absolute.

    Raises:
        ConfigError: there is no such file.
        DataError: it cannot be read, or an image has no label in it, or two different ones.
    """
    file = root / user_path(name)
    key = f"data.labels = {name}"
    if not file.is_file():
        raise ConfigError(f"{key}: no such file in {root}; a path below it or an absolute one")
    try:
        content = read_file(file, LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise DataError(f"{key}: longer than {LARGEST_FILE >> 30} GB")
        text = content.decode("utf-8-sig")
    except OSError as cause:
        raise DataError(f"{key}: cannot be read: {cause.strerror or cause}") from cause
    except UnicodeDecodeError as cause:
        raise DataError(f"{key}: is not UTF-8 text") from cause
    pairs = _from_json(text, key) if file.suffix.lower() == ".json" else _from_table(text, key)
    return _joined(pairs, key, paths, needed)


def _joined(
    pairs: Iterator[tuple[str, str, str]], key: str, paths: Sequence[str], needed: Sequence[str]
) -> dict[str, str]:
    # A file system may write accents apart from their letters, and a spreadsheet with them.
    known = {normalize("NFC", path): path for path in paths} | {path: path for path in paths}
    found = dict[str, str]()
    for place, path, label in pairs:
        path = str(PurePosixPath(path.replace("\\", "/")))
        path = known.get(path) or known.get(normalize("NFC", path), "")
        if not path:
            continue  # of an image that is not here, or a heading
        if found.setdefault(path, label) != label:
            raise DataError(f"{key}: {place}: {path} is of class {found[path]} and of {label}")
    missing = [path for path in needed if path not in found]
    if missing:
        raise DataError(
            f"{key}: {len(missing):,} of {len(needed):,} images have no label in it "
            f"({shown(missing)}); paths are needed as they are below data.root"
        )
    return found


def _from_table(text: str, key: str) -> Iterator[tuple[str, str, str]]:
    start = text[:4096].partition("\n")[0]
    delimiter = max(",\t;", key=start.count)
    rows = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    try:
        for row in rows:
            place, cells = f"line {rows.line_num}", [cell.strip() for cell in row]
            if not any(cells):
                continue
            if len(cells) != 2 or not all(cells):
                raise DataError(f"{key}: {place}: two columns are needed, a path and a class")
            yield place, cells[0], cells[1]
    except csv.Error as cause:
        raise DataError(f"{key}: line {rows.line_num}: {cause}") from cause


def _from_json(text: str, key: str) -> Iterator[tuple[str, str, str]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as cause:
        raise DataError(f"{key}: is not JSON ({cause})") from cause
    labels = found.get("labels") if isinstance(found, Mapping) else None
    if not isinstance(labels, list) or not labels:
        raise DataError(f'{key}: a list "labels" of [path, number] is needed, as StyleGAN keeps it')
    for number, pair in enumerate(labels):
        match pair:
            case [str(path), int(label)] if not isinstance(label, bool) and label >= 0:
                yield f"label {number:,}", path, str(label)
            case _:
                raise DataError(
                    f"{key}: label {number:,}: [path, number] is needed, with one class as a "
                    "whole number"
                )
