"""The options of conf/ and what their files say of them, read as text. Imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gan_cli.config import groups
from gan_cli.config.groups import CONF

COMMENT = re.compile(r"#(?! @)(.*)")
RUNNABLE = re.compile(r": gan-train \S+(?: \S+=\S+)*\s*$")
FOR_POINTS = ("mlp", "pacgan")  # the networks of conf/network/ that take points
FOR_PAIRS_OR_TEXT = ("unet", "encoder_decoder", "srresnet", "resnet_translator")
FOR_PAIRS_OR_TEXT += ("text_conv", "text_lstm")
POINTS = re.compile(r"^_target_: gan_cli\.data\.toy\.", re.MULTILINE)
KEY = re.compile(r"(?P<indent> *)(?P<key>\w+):(?P<value>(?: [^#]*)?)(?:# *(?P<says>.*))?")


@dataclass(frozen=True)
class Setting:
    """A line of a config file."""

    key: str  # dotted
    value: str
    meaning: str

    @property
    def cells(self) -> tuple[str, str, str]:
        """Its row of a table."""
        return self.key, self.value, self.meaning


class Composition:
    """The choices and settings of config files, as far as their text says: Hydra is not asked."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders
        self.chosen = groups.defaults()
        self.changed: dict[str, Setting] = {}  # by a model's or a preset's file
        self.used: set[str] = set()  # the groups that the model takes
        self._read: set[Path] = set()

    def choose(self, group: str, option: str) -> None:
        """Take over what the file of a model or a preset chooses and sets, its parents' first."""
        self.chosen[group] = option
        file = self._file(group, option)
        if file is None or file in self._read:
            return
        self._read.add(file)
        for other, choice in defaults_of(file):
            if other:
                if other == "model" and group != "model":
                    self.choose("model", choice)
                self.chosen[other] = choice
            elif choice != "_self_":
                self.choose(group, choice)
                self.chosen[group] = option
        if group == "experiment":  # whose choices go before those of the model
            self.chosen |= self._preset(option)[0]
        for row in settings_of(file):
            self.change(row)
            if match := re.fullmatch(r"\$\{(\w+)\}", row.value):
                self.used.add(match[1])

    def change(self, row: Setting) -> None:
        """Set a value; what it means stays."""
        before = self.changed.get(row.key, row)
        self.changed[row.key] = Setting(row.key, row.value, row.meaning or before.meaning)

    def settings(self, group: str, option: str) -> list[Setting]:
        """The settings of an option with what the model or the preset makes of them."""
        rows: dict[str, Setting] = {}
        if group == "experiment":
            choices, settings = self._preset(option)
            return [*(Setting(g, c, "") for g, c in choices.items()), *settings.values()]
        if group != "model":
            rows = {row.key: row for row in self._inherited(group, option)}
        for key, row in self.changed.items():
            if key.startswith(f"{group}."):
                meaning = row.meaning or rows.get(key, row).meaning
                rows[key] = Setting(key, row.value, meaning)
        # The settings of an optimizer are described once, in that of the default.
        adam = groups.options(group)[groups.defaults()[group]] if group == "optimizer" else None
        shared = {row.key: row.meaning for row in settings_of(adam)} if adam else {}
        return [
            Setting(row.key, row.value, row.meaning or shared.get(row.key.rpartition(".")[2], ""))
            for row in rows.values()
            if not row.value.startswith("${")
        ]

    def _file(self, group: str, option: str) -> Path | None:
        """An option's file, or one in a folder of the group, which several options share."""
        files = [folder / group / f"{option}.yaml" for folder in (CONF, *self.folders)]
        return next((file for file in files if file.is_file()), None)

    def _preset(self, option: str) -> tuple[dict[str, str], dict[str, Setting]]:
        """The choices and the settings of a preset, with those of the files it builds on."""
        choices: dict[str, str] = {}
        settings: dict[str, Setting] = {}
        file = self._file("experiment", option)
        for group, choice in defaults_of(file) if file else ():
            if group:
                choices[group] = choice
            elif choice not in ("_self_", option):
                inner = self._preset(choice)
                choices |= inner[0]
                settings |= inner[1]
        settings |= {row.key: row for row in settings_of(file)} if file else {}
        return choices, settings

    def _inherited(self, group: str, option: str, inner: Sequence[str] = ()) -> Iterator[Setting]:
        file = groups.options(group, self.folders).get(option)
        if file is None or option in inner:
            return
        found: dict[str, Setting] = {}
        for other, choice in defaults_of(file):
            if not other and choice != "_self_":
                found |= {row.key: row for row in self._inherited(group, choice, [*inner, option])}
        for row in settings_of(file):
            key = f"{group}.{row.key}"
            meaning = row.meaning or (found[key].meaning if key in found else "")
            found[key] = Setting(key, row.value, meaning)
        yield from found.values()


def network_for_points(
    chosen: Mapping[str, str], typed: Collection[str], folders: Sequence[Path]
) -> str | None:
    """`mlp` where the data are points and the model takes a network for images; None elsewhere.

    A network that was typed, or that a preset chooses, stays, and is refused with a reason.

    Args:
        chosen: the option of each group.
        typed: the groups that the user named.
        folders: of --config-dir.
    """
    data = groups.options("data", folders).get(chosen.get("data", ""))
    network = chosen.get("network", "")
    preset = chosen.get("experiment", "null").lower() not in ("null", "none")
    other = network in (*FOR_POINTS, *FOR_PAIRS_OR_TEXT)
    if preset or "network" in typed or data is None or other:
        return None
    if network not in groups.options("network") or not POINTS.search("\n".join(_text(data))):
        return None
    made = Composition(folders)
    made.choose("model", chosen.get("model", ""))
    return FOR_POINTS[0] if "network" in made.used else None


def _text(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8", errors="replace").splitlines()


def comment_of(file: Path) -> str:
    """The comment at the top of a config file, without the command that runs it."""
    lines: list[str] = []
    for line in _text(file):
        if match := COMMENT.fullmatch(line):
            lines.append(RUNNABLE.sub(".", match[1].strip()))
        elif line.startswith("# @") or not line:
            continue
        else:
            break
    return " ".join(lines)


def defaults_of(file: Path) -> Iterator[tuple[str, str]]:
    """The defaults list of a config file: groups and options, "" for the file's own group."""
    inside = False
    for line in _text(file):
        if listed := re.fullmatch(r"defaults: *\[(.*)\]", line):
            yield from (("", name.strip()) for name in listed[1].split(","))
        elif line.startswith("defaults:"):
            inside = True
        elif inside and (entry := re.fullmatch(r" *- *(.*?) *(?:#.*)?", line)):
            other = re.fullmatch(r"(?:override +)?/?(\w+): *([\w/]+)", entry[1])
            yield (other[1], other[2]) if other else ("", entry[1].partition("@")[0].lstrip("/"))
        elif inside:
            break


def settings_of(file: Path) -> Iterator[Setting]:
    """The settings of a config file, without its defaults, _target_ and Hydra's own."""
    above: list[tuple[int, str]] = []
    for line in _text(file):
        match = KEY.fullmatch(line)
        if match is None:
            continue
        indent, key, value = len(match["indent"]), match["key"], match["value"].strip()
        while above and above[-1][0] >= indent:
            above.pop()
        names = [name for _, name in above]
        if not value:
            above.append((indent, key))
        elif key != "_target_" and not {"defaults", "hydra"} & {key, *names[:1]}:
            yield Setting(".".join([*names, key]), value, (match["says"] or "").strip())


def root_settings() -> Iterator[Setting]:
    """The settings of conf/train.yaml and of the default runtime."""
    yield from settings_of(CONF / "train.yaml")
    for row in settings_of(CONF / "runtime" / f"{groups.defaults()['runtime']}.yaml"):
        yield Setting(f"runtime.{row.key}", row.value, row.meaning)
