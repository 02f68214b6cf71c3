"""Completion of command lines in bash and zsh, from conf/, its aliases and the parsers."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from gan_cli.config import groups
from gan_cli.config.aliases import KEYS, OPTIONS, SECTIONS, expanded, plain
from gan_cli.config.command_line import FLAGS, VALUED, config_dirs, split
from gan_cli.errors import ConfigError

Commands = Mapping[str, tuple[str, str, str]]
SCRIPT = """\
_gan_complete() {{
    local IFS=$'\\n'
    COMPREPLY=($(gan --completion {shell} "${{COMP_LINE:0:$COMP_POINT}}" 2>/dev/null))
    [[ ${{#COMPREPLY[@]}} == 1 && ${{COMPREPLY[0]}} == *[=.] ]] && compopt -o nospace 2>/dev/null
    return 0
}}
complete -o default -F _gan_complete gan {names}
"""
ZSH = "autoload -U +X compinit bashcompinit && compinit && bashcompinit\n"


def answer(words: list[str], commands: Commands) -> str:
    """What `gan --completion SHELL [LINE]` prints: a script, or what may end `LINE`.

    Raises:
        ConfigError: there is no completion for this shell.
    """
    shell, *line = words or ["bash"]
    if shell not in ("bash", "zsh"):
        raise ConfigError(f"--completion {shell}: must be bash or zsh; see gan-train -sc for fish")
    if not line:
        names = " ".join(f"gan-{name}" for name in commands)
        return (ZSH if shell == "zsh" else "") + SCRIPT.format(shell=shell, names=names)
    found = sorted(set(candidates(line[0], commands)))
    if shell == "bash":  # which takes the = for the end of a word
        word = line[0].rpartition(" ")[2]
        found = [one[word.rfind("=") + 1 :] for one in found]
    return "".join(f"{one}\n" for one in found)


def candidates(line: str, commands: Commands) -> Iterator[str]:
    """The words that may stand for the last one of a line, which may be empty."""
    program, *words = line.split(" ")
    *before, last = words or [""]
    name = Path(program).name.removeprefix("gan-")
    if name == "gan":
        if not before:
            yield from _starting(last, [*commands, "--help", "--version", "--completion"])
            return
        name, *before = before
    if name in ("train", "tune"):
        yield from _of_training([word for word in before if word], last)
    elif name in commands:
        yield from _starting(last, _options(commands[name][0]) if last[:1] == "-" else _runs())


def _starting(begin: str, words: Iterable[str]) -> Iterator[str]:
    yield from (word for word in words if word.startswith(begin))


def _options(module: str) -> list[str]:
    """The options of a command, by its parser."""
    commands = importlib.import_module(f"gan_cli.commands.{module}")
    parser = commands.parser() if hasattr(commands, "parser") else argparse.ArgumentParser()
    return [name for action in parser._actions for name in action.option_strings]


def _runs() -> list[str]:
    from gan_cli.runs.folder import DEFAULT_ROOT, below
    from gan_cli.runs.lookup import LATEST

    runs = below(DEFAULT_ROOT)
    return [LATEST, *map(str, runs)] if runs else []


def _of_training(before: list[str], last: str) -> Iterator[str]:
    folders = config_dirs(before)
    names = groups.names(folders)
    if before[-1:] == ["--help"] or before[-1:] == ["-h"]:
        options = [option for name in names for option in groups.options(name, folders)]
        yield from _starting(last, [*names, *options, "settings", "options"])
    elif last.startswith("-"):
        yield from _starting(last, [*FLAGS, *VALUED, "--list"])
    elif "=" in last:
        typed, _, value = last.partition("=")
        key, done = KEYS.get(typed, typed), value.rpartition(",")[0]
        begin = value.rpartition(",")[2]
        if begin.startswith((".", "/", "~")):
            fits = []  # a path, which the shell completes
        elif key in names:
            have = [*groups.options(key, folders), *OPTIONS.get(key, {})]
            fits = [option for option in have if plain(option).startswith(plain(begin))]
        else:
            fits = list(_starting(begin, _runs())) if key in ("resume", *SECTIONS) else []
        yield from (f"{typed}={done}{',' * bool(done)}{option}" for option in fits)
    elif "." in last:
        yield from _starting(last, (f"{key}=" for key in _keys(before, folders)))
    else:
        keys = [*groups.root_keys(), *names]
        sections = {key.partition(".")[0] for key in _keys(before, folders) if "." in key}
        yield from _starting(last, (f"{key}=" for key in [*keys, *KEYS] if key not in sections))
        yield from _starting(last, (f"{key}=" for key in SECTIONS))
        yield from _starting(last, (f"{key}=" for key in names))
        yield from _starting(last, (f"{section}." for section in sections))


def _keys(before: list[str], folders: list[Path]) -> Iterator[str]:
    """The dotted keys of the settings, with those of the groups that were chosen."""
    from gan_cli.config.catalogue import Composition, root_settings

    yield from (row.key for row in root_settings())
    made = Composition(folders)
    typed = dict(map(split, expanded(before, folders)[0]))
    if typed.get("experiment"):
        made.choose("experiment", str(typed["experiment"]))
    made.choose("model", typed.get("model") or made.chosen["model"])
    for name in groups.names(folders):
        option = typed.get(name) or made.chosen.get(name, "null")
        if option != "null" and name not in ("experiment", "callbacks"):
            yield from (row.key for row in made.settings(name, option))
