"""Config groups: the folders of config files, and their options."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
# A wheel carries conf/ inside the package; an editable install finds it beside the package.
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"
LONGEST = 200  # characters of a folder's name
METRIC = "metric"  # a folder of config files that evaluation reads by itself: no group of Hydra's
DEFAULT = re.compile(r"^\s*-\s*(?:optional\s+)?(\w+)\s*:\s*(\S+)")


def names(folders: Iterable[Path] = ()) -> list[str]:
    """All groups of our own conf/ and of `folders`, ours first and in train.yaml's order."""
    ours = list(defaults())
    found = {
        entry.name: None
        for folder in (CONF, *folders)
        for entry in sorted(folder.iterdir())
        if entry.is_dir() and entry.name != METRIC and next(entry.glob("*.yaml"), None)
    }
    return [*(name for name in ours if name in found), *(n for n in found if n not in ours)]


def options(group: str, folders: Iterable[Path] = ()) -> dict[str, Path]:
    """The options of `group` and their files; as in Hydra, our own conf/ goes first."""
    files: dict[str, Path] = {}
    for folder in (CONF, *folders):
        for file in sorted((folder / group).glob("*.yaml")):
            if file.is_file():  # nobody waits for a pipe
                files.setdefault(file.stem, file)
    return files


def is_group(key: str, folders: Iterable[Path] = ()) -> bool:
    """Whether `key` is a folder of config files, or one of train.yaml's groups."""
    if len(key) > LONGEST or key == METRIC:
        return False
    return key in defaults() or any((folder / key).is_dir() for folder in (CONF, *folders))


def keys(group: str, file: Path) -> set[str]:
    """The settings of `group` that an option's file writes itself."""
    indent = "  " if group == "model" else ""
    text = file.read_text(encoding="utf-8", errors="replace")
    return set(re.findall(rf"^{indent}(\w+):", text, re.MULTILINE)) - {"defaults"}


def root_keys() -> list[str]:
    """The keys of conf/train.yaml that are no groups; those of sections without their dots."""
    text = (CONF / "train.yaml").read_text(encoding="utf-8")
    return [key for key in re.findall(r"^(\w+):", text, re.MULTILINE) if key != "defaults"]


def defaults() -> dict[str, str]:
    """The group choices that conf/train.yaml makes, "null" for none."""
    chosen: dict[str, str] = {}
    inside = False
    for line in (CONF / "train.yaml").read_text(encoding="utf-8").splitlines():
        if line.startswith("defaults:"):
            inside = True
        elif inside and line and not line[0].isspace() and line[0] != "#":
            break
        elif inside and (match := DEFAULT.match(line)):
            chosen[match[1]] = match[2]
    return chosen
