"""The text of `gan-train --help`, read from conf/. Imports nothing heavy, so it shows at once."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from gan_cli.config import groups
from gan_cli.config.command_line import config_dirs
from gan_cli.config.groups import CONF
from gan_cli.console import clean

WIDTH = 100
FIRST = ("model", "data", "experiment")  # what one chooses before all else
KEY = re.compile(r"(?P<indent> *)(?P<key>\w+):(?P<value>[^#]*)(?:# *(?P<says>.*))?")
IN_GROUPS = (
    ("prior.dim", "100", "dimension of the latents"),
    ("data.root", "", "where the data are looked for first; the folder of data=folder"),
    ("data.size", "", "height and width of the images: a number or [height,width]"),
    ("network.width", "64", "channels, or units, of the networks"),
    ("optimizer.lr", "", "learning rate; optimizer.generator.lr is that of one phase"),
    (
        "optimizer.schedule",
        "constant",
        "constant, linear or cosine; warmup and clip_norm beside it",
    ),
)
EXAMPLES = (
    ("gan-train model=wgan data=mnist max_time=5m", "a WGAN on MNIST, for five minutes"),
    ("gan-train experiment=quickstart", "digits within two minutes of two CPU cores"),
    ("gan-train loss=hinge penalty=r1 optimizer.lr=1e-4", "other parts, other values"),
    ("gan-train data=folder data.root=photos data.size=64", "your own images"),
    ("gan-train -m model=wgan,wgan_gp seed=0,1,2", "six runs, as many at once as fit"),
)
STATUSES = (
    ("0", "done"),
    ("1", "failed; the state is saved where it can be, the traceback is in train.log"),
    ("2", "wrong input; nothing was started"),
    ("130", "stopped by a signal; the state is saved, but for a second Ctrl-C"),
)
MORE = (
    ("gan-train ... dry_run=true", "build everything, show networks and memory, train nothing"),
    ("gan-train ... --cfg job", "print the composed config; --info says where it comes from"),
    ("gan-train -m ...", "one run per combination of values with commas"),
    ("gan-train --config-dir DIR ...", "groups of your own: DIR/model/mygan.yaml is model=mygan"),
    ("gan-train --trust MODULE ...", "let a config build classes of that module"),
    ("gan-train resume=RUN", "resume a run"),
    ("gan-sample RUN", "draw samples from a run"),
    ("tensorboard --logdir runs", "watch"),
    ('eval "$(gan-train -sc install=bash)"', "shell completion; zsh and fish likewise"),
)


def show(argv: list[str]) -> None:
    """Print the help; groups of --config-dir in `argv` are shown with ours."""
    styled = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    for line in page(config_dirs(argv)):
        print(_styled(clean(line)) if styled else clean(line).removeprefix("#"))


def page(folders: list[Path]) -> Iterator[str]:
    """The help's lines; a heading begins with #, and *words* are the defaults."""
    yield "#Usage: gan-train [group=option ...] [key=value ...]"
    yield ""
    yield "Trains a GAN; everything is a setting. Runs, with their curves and samples, go to runs/."
    yield ""
    yield "#Groups: group=option, the default marked with *"
    names = groups.names(folders)
    for name in sorted(names, key=lambda n: FIRST.index(n) if n in FIRST else len(FIRST)):
        yield from _group(name, folders)
    yield ""
    yield "#Settings: key=value"
    yield from _table([*_root_keys(), *IN_GROUPS], (20, 9))
    yield ""
    yield "#Examples"
    for command, what in EXAMPLES:
        yield f"  {command:<52}  # {what}"
    yield ""
    yield "#More"
    yield from _table(MORE, (38,))
    yield ""
    yield "#Exit status"
    yield from _table(STATUSES, (5,))


def _group(name: str, folders: list[Path]) -> Iterator[str]:
    chosen = groups.defaults().get(name)
    label = name
    for option, file in groups.options(name, folders).items():
        mark = "*" if option == chosen else " "
        yield _cut(f"  {label:<10} {mark}{option:<22} {_comment(file)}")
        label = ""


def _comment(file: Path) -> str:
    """The first sentence-like comment line of a config file."""
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("#") and not line.startswith("# @"):
            return line.lstrip("# ").partition(": gan-train")[0].strip()
        if line and not line.startswith("#"):
            break
    return ""


def _root_keys() -> Iterator[tuple[str, str, str]]:
    """Keys, defaults and comments of conf/train.yaml and of the default runtime."""
    yield from _keys(CONF / "train.yaml", "")
    yield from _keys(CONF / "runtime" / f"{groups.defaults()['runtime']}.yaml", "runtime.")


def _keys(file: Path, prefix: str) -> Iterator[tuple[str, str, str]]:
    section = ""
    for line in file.read_text(encoding="utf-8").splitlines():
        match = KEY.fullmatch(line)
        if match is None:
            continue
        key, value = match["key"], match["value"].strip()
        if not match["indent"]:
            section = "" if value else key
        if value and section not in ("defaults", "hydra"):
            inner = f"{section}." if section else ""
            yield f"{prefix}{inner}{key}", value, match["says"] or ""


def _table(rows: Sequence[tuple[str, ...]], widths: tuple[int, ...]) -> Iterator[str]:
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        yield _cut(f"  {' '.join([*cells, *row[len(widths) :]])}")


def _cut(line: str) -> str:
    """`line` within the width, ended where a clause ends if one does not end too early."""
    line = line.rstrip()
    if len(line) <= WIDTH:
        return line
    ends = [match.start() for match in re.finditer(r"[.;:,] ", line[: WIDTH + 1])]
    if ends and ends[-1] > WIDTH * 0.6:
        return line[: ends[-1]]
    return f"{line[: WIDTH - 3].rsplit(' ', 1)[0]} ..."


def _styled(line: str) -> str:
    if line.startswith("#"):
        return f"\033[1m{line[1:]}\033[0m"
    return re.sub(r"(?<= )\*(\w+)", "\033[1;32m*\\1\033[0m", line)
