"""The pages of `gan-train` alone, --help and --list, read from conf/. Imports nothing heavy."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from gan_cli.config import groups
from gan_cli.config.aliases import OPTIONS, expanded, plain
from gan_cli.config.catalogue import (
    Composition,
    Setting,
    comment_of,
    network_for_points,
    root_settings,
)
from gan_cli.config.command_line import config_dirs, read, split
from gan_cli.console import clean
from gan_cli.errors import ConfigError
from gan_cli.formatting import counted, hint

FIRST = ("model", "data", "experiment")  # what one chooses before all else
PARTS = ("loss", "penalty", "network", "prior", "optimizer")  # of a model
GROUPS = {
    "model": "what is trained, with its paper's settings",
    "data": "what it learns from; data=DIR: your own images",
    "experiment": "presets of several choices, with run times",
    "loss": "what the players minimise",
    "penalty": "on the discriminator's gradient or weights",
    "network": "the architecture",
    "prior": "what latents are drawn from",
    "optimizer": "the updates; optimizer.lr is the rate",
    "runtime": "device, precision, threads",
    "callbacks": "progress, pictures, TensorBoard",
}
KEYS = ("steps", "max_time", "batch_size", "seed", "evaluation.every")
KEYS += ("run.dir", "resume", "dry_run")
EXAMPLES = (
    "gan-train experiment=quickstart",
    "gan-train model=wgan data=mnist max_time=5m",
    "gan-train loss=hinge penalty=r1 lr=1e-4 steps=10k",
    "gan-train data=./photos data.size=64",
    "gan-train -m model=wgan,wgan_gp seed=0,1,2",
)
SWEEPS = (
    "gan-train -m model=wgan,wgan_gp seed=0,1,2      # six runs",
    "gan-train -m optimizer.lr=1e-4,2e-4 steps=2000  # two learning rates",
    "gan-train -m 'seed=range(0,5)' model=gan        # five seeds",
)
STATUSES = (
    ("0", "done"),
    ("1", "failed; the state is saved if possible, the traceback is in train.log"),
    ("2", "wrong input; nothing was started"),
    ("130", "stopped by a signal; the state is saved, except after a second Ctrl-C"),
)
OPTION_ROWS = (
    ("-m", "one run per combination of values with commas"),
    ("--cfg job", "print the composed config; --info says where it comes from"),
    ("--config-dir DIR", "groups of your own: DIR/model/mygan.yaml is model=mygan"),
    ("--trust MODULE", "let a config build classes of that module"),
    ("--version", "the version"),
    ("-sc install=bash", 'completion: eval "$(gan-train -sc install=bash)"; zsh, fish likewise'),
)
STEP = 0.1  # seconds of a step of the default model on two CPU cores, rounded up
SENTENCE = re.compile(r"(?<=[.?!])\s+(?=[A-Z\"`])")
WIDTH = 80
SHORTEST = 40  # characters of a sentence that explains by itself


def answer(argv: list[str]) -> None:
    """Print the page that `argv` asks for: nothing, -m alone, --help or --list.

    Raises:
        ConfigError: it asks for an option or a setting that does not exist.
    """
    tty = sys.stdout.isatty()
    width = min(shutil.get_terminal_size().columns, 100) if tty else WIDTH
    styled = tty and "NO_COLOR" not in os.environ
    for line in page(argv, width):
        print(_styled(clean(line)) if styled else clean(line).removeprefix("#"))


def page(argv: list[str], width: int = WIDTH) -> list[str]:
    """The lines of a page; a heading begins with #, and *words* are defaults."""
    if not argv:
        return list(_welcome())
    if set(argv) <= {"-m", "--multirun"}:
        return list(_sweeps())
    folders = config_dirs(argv)
    if "--list" in argv:
        return list(_list(folders, width))
    words = read([word for word in argv if word not in ("-h", "--help")])[1]
    words = [f"{_holder(word, folders)}{word}" for word in words]
    lines: list[str] = []
    choices: dict[str, str] = {}
    values: dict[str, str] = {}
    for word in words:
        made = expanded([word], folders)[0]
        if len(made) > 1:
            lines += [f"{word} stands for:", *_wrapped(" ".join(made), 2, width), ""]
    for word in expanded(words, folders)[0]:
        key, value = split(word)
        if value is None:
            lines += _of_word(key, folders, width)
        elif key in groups.names(folders):
            choices[key] = value
        else:
            values[key] = value
    if choices:
        lines += _of_choices(choices, values, folders, width)
    return lines or list(_overview(folders))


def _holder(word: str, folders: Sequence[Path]) -> str:
    """`group=` for a word that is an option, or an alias of one; "" for any other."""
    names = sorted(groups.names(folders), key=_order)
    if word not in names and "=" not in word:
        for name in names:
            known = {*map(plain, groups.options(name, folders)), *OPTIONS.get(name, {})}
            if plain(word) in known:
                return f"{name}="
    return ""


def _order(name: str) -> int:
    return FIRST.index(name) if name in FIRST else len(FIRST)


def _welcome() -> Iterator[str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    steps = 20_000
    if Path("/dev/nvidia0").exists():
        long = "some minutes on the GPU"
    else:
        minutes = steps * STEP * 2 / max(1, min(cores or 1, 8)) / 60
        long = f"about {5 * round(minutes / 5)} minutes on {counted(cores or 1, 'CPU core')}"
    yield "gan-train trains GANs. To begin with:"
    yield ""
    yield "  gan-train experiment=quickstart              # digits in a minute"
    yield "  gan-train model=wgan data=mnist max_time=5m  # a Wasserstein GAN"
    yield "  gan-train data=./photos max_time=1h          # your own images"
    yield ""
    yield f"The defaults are model=dcgan, data=mnist and {steps:,} steps; on this machine"
    yield f"that takes {long}. To start it: gan-train model=dcgan"
    yield ""
    yield "gan-train --help explains the settings, gan-train --list shows what there is."


def _sweeps() -> Iterator[str]:
    yield "-m trains one run per combination of values with commas between them:"
    yield ""
    for command in SWEEPS:
        yield f"  {command}"
    yield ""
    yield "The same command again runs what is missing; dry_run=true lists the runs."
    yield "gan-train --help explains the settings, gan-train --list shows what there is."


def _overview(folders: Sequence[Path]) -> Iterator[str]:
    yield "#Usage: gan-train [group=option ...] [key=value ...]"
    yield "Everything is a setting. Runs, with curves and samples, go to runs/."
    yield ""
    yield "#Groups, their defaults and the number of options (gan-train --help GROUP)"
    chosen = groups.defaults()
    for name in sorted(groups.names(folders), key=_order):
        default = chosen.get(name, "null").replace("null", "-")
        count = len(groups.options(name, folders))
        yield f"  {name:<11} {default:<15} {count:>2}  {GROUPS.get(name, '')}".rstrip()
    yield ""
    yield "#Settings (all: gan-train --help settings)"
    known = {row.key: row for row in root_settings()}
    yield from _table([(key, known[key].value, _clause(known[key].meaning)) for key in KEYS])
    yield ""
    yield "#Examples"
    for command in EXAMPLES:
        yield f"  {command}"
    yield ""
    yield "#More"
    yield "  gan-train model=wgan --help   settings of a model, its loss, penalty, network"
    yield "  gan-train --list              all options of all groups"
    yield "  gan-train resume=latest       resume the newest run, or resume=RUN"
    yield "  gan-train --help options      -m, --cfg, --config-dir, --trust, exit status"


def _list(folders: Sequence[Path], width: int) -> Iterator[str]:
    chosen = groups.defaults()
    for name in sorted(groups.names(folders), key=_order):
        options = groups.options(name, folders)
        words = [f"{'*' * (option == chosen.get(name))}{option}" for option in options]
        yield f"#{name}"
        yield from _wrapped(", ".join(words), 2, width)
        if other := OPTIONS.get(name):
            yield from _wrapped(f"also understood: {', '.join(other)}", 2, width)
    yield ""
    yield "* default. gan-train --help GROUP explains the options of a group,"
    yield "gan-train --help OPTION one of them; gan-eval --metrics list shows metrics."


def _of_word(word: str, folders: Sequence[Path], width: int) -> Iterator[str]:
    """The page of `gan-train --help WORD`, which is no option."""
    names = groups.names(folders)
    if word in names:
        yield from _of_group(word, folders, width)
    elif word == "settings":
        yield "#Settings: key=value"
        yield from _table([row.cells for row in root_settings()], width)
        yield ""
        yield "Those of a model, network, loss ...: gan-train model=wgan --help"
    elif word == "options":
        yield "#Options"
        yield from _table(OPTION_ROWS, width)
        yield ""
        yield "#Exit status"
        yield from _table(STATUSES, width)
    elif rows := [r for r in root_settings() if word in (r.key, *r.key.split("."))]:
        yield from _table([row.cells for row in rows], width)
    else:
        options = [option for name in names for option in groups.options(name, folders)]
        near = hint(word, [*names, *options, "settings", "options"], 0.75)
        raise ConfigError(f"--help {word}: no such group, option or setting{near}")


def _of_group(name: str, folders: Sequence[Path], width: int) -> Iterator[str]:
    options = groups.options(name, folders)
    yield f"#{name}=OPTION: {GROUPS.get(name, 'your own group')}"
    default = groups.defaults().get(name)
    column = max(map(len, options), default=0) + 2
    for option, file in options.items():
        label = f" {'*' if option == default else ' '}{option}"
        yield from _wrapped(_summary(comment_of(file)), column + 2, width, label)
    yield ""
    yield f"* default. Settings of an option: gan-train {name}=OPTION --help"


def _of_choices(
    choices: dict[str, str], values: dict[str, str], folders: Sequence[Path], width: int
) -> Iterator[str]:
    """The settings of the options that were typed; of a model or a preset, with all its parts."""
    made = Composition(folders)
    for name in ("experiment", "model"):
        if name in choices:
            made.choose(name, choices[name])
    made.chosen |= choices
    if network := network_for_points(made.chosen, choices, folders):
        made.chosen["network"] = network
    for key, value in values.items():
        made.change(Setting(key, value, ""))
    whole = {"experiment", "model"} & set(choices)
    shown = ["experiment", "model", *PARTS, "data"] if whole else list(choices)
    for name in shown:
        option = made.chosen.get(name, "null")
        if option == "null" or (name in ("experiment", "data") and name not in choices):
            continue
        if option not in groups.options(name, folders):
            near = hint(option, groups.options(name, folders), 0.75)
            raise ConfigError(f"{name} = {option}: unknown option{near}; see gan-train --list")
        if name in PARTS and whole and name not in made.used and name != "optimizer":
            continue
        comment = comment_of(groups.options(name, folders)[option])
        yield from _wrapped(comment, 2, width, f"#{name}={option}", below=True)
        rows = [row.cells for row in made.settings(name, option)]
        yield from _table(rows, width)
        yield ""
    if "experiment" in choices:
        yield "The values are those of the preset; key=value changes one of them."
    yield "#More: gan-train --help settings, gan-train --help GROUP"


def _summary(comment: str) -> str:
    """The first sentence of a comment, with the next ones as long as they say little."""
    first, *others = SENTENCE.split(comment)
    while len(first) < SHORTEST and others:
        first += f" {others.pop(0)}"
    return first


def _clause(meaning: str) -> str:
    return meaning.partition(";")[0]


def _table(rows: Iterable[Sequence[str]], width: int = WIDTH) -> Iterator[str]:
    """Rows with their last cell wrapped, and on a line of its own where the others are long."""
    rows = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    widths = [min(size, most) for size, most in zip(widths, (34, 16), strict=False)]
    start = sum(widths) + 2 * len(widths) + 2
    for *cells, last in rows:
        words = [f"{cell:<{size}}" for cell, size in zip(cells, widths, strict=True)]
        if len("  ".join(words)) > width - 4:  # a long list of values
            yield f"  {words.pop(0).rstrip()}"
        yield from _wrapped(last, start, width, f"  {'  '.join(words)}")


def _wrapped(
    text: str, start: int, width: int, label: str = "", below: bool = False
) -> Iterator[str]:
    """`text` from column `start` on, behind `label`, or below it where that is longer."""
    lines = textwrap.wrap(text, width - start, break_long_words=False, break_on_hyphens=False)
    if label and (below or not lines or len(label.rstrip()) > start - 1):
        yield label.rstrip()
    elif lines:
        yield f"{label:<{start}}{lines.pop(0)}"
    yield from (" " * start + line for line in lines)


def _styled(line: str) -> str:
    if line.startswith("#"):
        return f"\033[1m{line[1:]}\033[0m"
    return re.sub(r"(?<= )\*(\w+)", "\033[1;32m*\\1\033[0m", line)
