"""The command line, before Hydra reads it.

Hydra refuses a key that the config does not have, and its words are about structs. So every value
override becomes `++key=value`, which Hydra takes as it is, and our own validation speaks about it.
Imports neither Hydra nor torch.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from gan_cli.config import groups
from gan_cli.config import trust as trust_module
from gan_cli.config.aliases import GPU, KEYS, OVERRIDE, expanded, hint_of_option, listed
from gan_cli.config.groups import CONF
from gan_cli.config.hydra_settings import fault_of_typed
from gan_cli.errors import ConfigError
from gan_cli.formatting import cut, hint, shell_command, user_path

# Settings that are text, whatever it looks like. Hydra alone would make a number of run.name=1e3.
TEXTS = ("run.root", "run.dir", "run.name", "sweep.dir", "sweep.name", "resume", "data.root")
TEXTS += ("data.labels", "evaluation.best", "evaluation.inception", "runtime.device")
TEXTS += ("evaluation.extractor",)
TEXTS += ("weights.source",)

# Short name: long name.
SHORT = {"-h": "--help", "-r": "--run", "-m": "--multirun", "-sc": "--shell-completion"}
SHORT |= {"-c": "--cfg", "-p": "--package", "-cd": "--config-dir", "-i": "--info"}
SHORT |= {"-cp": "--config-path", "-cn": "--config-name"}
FLAGS = ("--help", "--list", "--hydra-help", "--version", "--resolve", "--run", "--multirun")
FLAGS += ("--shell-completion",)
SWITCHES = ("dry_run", "force")  # settings that --dry-run and --force turn on
VALUED = ("--cfg", "--package", "--config-dir", "--trust", "--info")
# Options of Hydra's that would run code of a file, or take another config than ours for the root.
REFUSED = {
    "--experimental-rerun": "unpickles a file, which can run any code; use gan-train resume=RUN",
    "--config-path": "gan-train has a root config of its own; put groups into --config-dir",
    "--config-name": "gan-train has a root config of its own; put groups into --config-dir",
}
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
Options = dict[str, list[str]]  # by long name, with each value


def read(argv: list[str]) -> tuple[Options, list[str], list[str]]:
    """Sort `argv` into options, all other words, and faults; never raises."""
    options: Options = {}
    rest: list[str] = []
    faults: list[str] = []
    queue = deque(argv)
    while queue:
        word = queue.popleft()
        if not word.startswith("-"):
            rest.append(word)
            continue
        name, equals, value = word.partition("=")
        name = SHORT.get(name, name)
        if name in FLAGS:
            options[name] = []
        elif name in REFUSED:
            if not equals and queue:
                queue.popleft()
            faults.append(f"{name}: {REFUSED[name]}")
        elif name in VALUED:
            if name == "--info" and not equals:
                value = queue.popleft() if queue and queue[0] in INFO else "all"
            elif not equals:
                value = queue.popleft() if queue else ""
            if value:
                options.setdefault(name, []).append(value)
            else:
                faults.append(f"{name}: needs a value")
        else:
            if not equals and queue and queue[0][:1] != "-" and "=" not in queue[0]:
                equals, value = "=", queue.popleft()
            key = _setting(name)
            if key is None or not (equals or key in SWITCHES or key in GPU):
                faults.append(_unknown(name, value))
            else:
                rest.append(f"{key}={value if equals else 'true'}")
    return options, rest, faults


def _setting(name: str) -> str | None:
    """The setting that an option such as --batch-size stands for; None where there is none."""
    key = name.lstrip("-").replace("-", "_")
    known = {*groups.root_keys(), *groups.names(), *KEYS, *GPU}
    return key if key.partition(".")[0].lower() in known else None


def _unknown(name: str, value: str) -> str:
    near = hint(name, [*FLAGS, *VALUED], cutoff=0.75)
    key = name.lstrip("-").replace("-", "_")
    if near or not key:
        return f"{name}: no such option{near}"
    shown = value or "..."
    return f"{name}: no such option; settings are written without dashes: {key}={shown}"


# Values that have a grammar of their own are left alone: quoted text, lists, functions,
# interpolations. Any other that holds a character outside of Hydra's alphabet is plain text.
SWEEPS = "choice|glob|interval|range|shuffle|tag"
FUNCTIONS = f"{SWEEPS}|bool|float|int|sort|str"
STRUCTURED = re.compile(rf"""['"\[\]{{}}]|\\,|^\s*(?:{FUNCTIONS})\s*\(.*\)\s*$|\$\{{""", re.DOTALL)
SWEEP = re.compile(rf"\s*(?:{SWEEPS})\s*\(")
NOT_BESIDE = (
    "a range, choice or glob cannot be combined with other values; write each value by itself"
)
ALPHABET = re.compile(r"[\w/\-+.$%*@?|: \t\\]*", re.ASCII)
TYPED = re.compile(
    r"[+-]?([\d_]+\.?[\d_]*|\.[\d_]+)(e[+-]?\d+)?|[+-]?(inf|nan)|true|false", re.IGNORECASE
)
# What Hydra's parser, whose time grows with the square of a list, is given at most.
LONGEST_NAME = 200  # of a file, without its folder
MOST_CHARACTERS, MOST_ITEMS, MOST_LEVELS = 10_000, 1_000, 20

UNSET = "; a variable of the shell that is not set?"


@dataclass(frozen=True)
class Command:
    """A command line, taken apart."""

    for_hydra: list[str]  # the overrides as Hydra takes them
    overrides: list[str]  # the user's, as typed but with the names of conf/ for aliases
    config_dirs: list[Path]  # from --config-dir, absolute
    trust: list[str]  # modules from --trust
    multirun: bool
    options: Options = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        """The keys and groups that the user named, without signs."""
        return [key for key, _ in map(split, self.overrides) if key]

    @property
    def sources(self) -> list[str]:
        """The options that name the user's own config files and modules."""
        folders = [f"--config-dir={folder}" for folder in self.config_dirs]
        return folders + [f"--trust={module}" for module in self.trust]

    def text(self, overrides: Sequence[str] | None = None) -> str:
        """The command for a shell; with other `overrides`, that of one run of several."""
        chosen = self.overrides if overrides is None else overrides
        return shell_command("gan-train", *self.sources, *(o.removeprefix("++") for o in chosen))


def split(override: str) -> tuple[str, str | None]:
    """Key and value of an override as typed: `+a.b=c` is ("a.b", "c"), `~a` is ("a", None)."""
    key, equals, value = override.partition("=")
    return key.strip().lstrip("+~").strip(), value if equals else None


def prepare(argv: list[str]) -> Command:
    """Take `argv` (without the program's name) apart and rewrite it for Hydra.

    Raises:
        ConfigError: options, arguments or choices that do not exist; all of them, one on a line.
    """
    options, overrides, faults = read(argv)
    folders = _folders(options)
    faults += [f"--config-dir = {path}: no such folder" for path in folders if not path.is_dir()]
    if len(folders) > 1:
        faults.append("--config-dir: can be given once; put the groups into one folder")

    rewritten = overrides
    if "--shell-completion" not in options:  # there the rest is a command to Hydra
        known = [folder for folder in folders if folder.is_dir()]
        overrides, wrong = expanded(overrides, known)
        faults += wrong
        rewritten = []
        for override in overrides:
            kept, wrong = _rewrite(override, known)
            rewritten += kept
            faults += wrong
    if faults:
        raise ConfigError("\n".join(faults))
    multirun = "--multirun" in options or ("hydra.mode", "MULTIRUN") in map(split, overrides)
    trust = options.get("--trust", [])
    return Command(rewritten, overrides, folders, trust, multirun, options)


def config_dirs(argv: list[str]) -> list[Path]:
    """The folders that `argv` names with --config-dir and that exist; never raises."""
    return [path for path in _folders(read(argv)[0]) if path.is_dir()]


def _folders(options: Options) -> list[Path]:
    return [user_path(value).absolute() for value in options.get("--config-dir", ())]


def open_path(command: Command) -> None:
    """Let modules in the working directory and in --config-dir be imported, after all others."""
    trust_module.open_path(Path.cwd(), *command.config_dirs)


def _rewrite(override: str, folders: list[Path]) -> tuple[list[str], list[str]]:
    """What to give to Hydra instead of an override, and what is wrong with it."""
    if fault := _excess(override) or fault_of_typed(*split(override)):
        return [], [fault]
    if override.startswith("~"):
        return [override], []
    if not override.strip():
        return [], [f"an argument is empty{UNSET}"]
    match = OVERRIDE.fullmatch(override)
    if match is None:
        return [], [_no_assignment(override, folders)]
    key, value = match["key"].strip(), match["value"]
    group = key.partition("@")[0]
    if group == "hydra" or group.startswith(("hydra.", "hydra/")):
        return [override], []
    if group == groups.METRIC:
        chosen = f"metrics are chosen with evaluation.metrics=[{cut(value)}]"
        return [], [f"{key} = {cut(value)}: is not a group of gan-train; {chosen}"]
    if len(parts := _parts(value)) > 1 and any(map(SWEEP.match, parts)):
        return [], [f"{key} = {cut(value)}: {NOT_BESIDE}"]
    if group == key and "/" not in key and not groups.is_group(group, folders):
        if not value.strip():  # as a path it would mean the current folder
            return [], [f'{key} = "": must not be empty{UNSET}']
        return [f"++{key}={_quoted(value, key in TEXTS)}"], []
    if value == "null" == groups.defaults().get(key):
        return [], []  # it is so already, and Hydra knows no choice of nothing
    faults = list(_missing_options(key, group, value, folders))
    # Those in the defaults list must not be added a second time.
    sign = "+" if match["sign"] and key not in groups.defaults() else ""
    return [f"{sign}{key}={value}"], faults


def _excess(override: str) -> str | None:
    """What an override has too much of to be read."""
    key, _, value = override.partition("=")
    at = f"{cut(key)} = {cut(value)}"
    if len(key) > LONGEST_NAME:
        return f"{cut(key)}: no setting has so long a name; settings are written key=value"
    if len(override) > MOST_CHARACTERS:
        return f"{at}: {len(override):,} characters, where at most {MOST_CHARACTERS:,} are read"
    marks = list(_marks(value))
    if max((depth for _, _, depth in marks), default=0) > MOST_LEVELS:
        return f"{at}: brackets within brackets, more than {MOST_LEVELS} levels deep"
    if sum(mark == "," for _, mark, _ in marks) >= MOST_ITEMS:
        return f"{at}: more than {MOST_ITEMS:,} values; of numbers in order, write range(FIRST,END)"
    return None


def _quoted(value: str, text: bool) -> str:
    """A value for Hydra; of several, with commas between, each by itself.

    Args:
        value: as typed.
        text: whether the setting is text also where it looks like a number.
    """
    parts = _parts(value)
    if len(parts) == 1:
        return _quoted_part(value, text)
    return ",".join(_quoted_part(part.strip(), text) for part in parts)


def _parts(value: str) -> list[str]:
    """`value` cut at the commas outside of quotes and brackets."""
    cuts = [at for at, mark, depth in _marks(value) if mark == "," and depth == 0]
    return [value[a + 1 : b] for a, b in pairwise([-1, *cuts, len(value)])]


def _marks(value: str) -> Iterator[tuple[int, str, int]]:
    """Commas and brackets outside of quotes: their place, and how deep in brackets they are."""
    depth, at = 0, 0
    while at < len(value):
        character = value[at]
        if character == "\\":
            at += 1  # the next one means itself
        elif character in "'\"":
            at = _closing(value, at)
        elif character in "([{":
            depth += 1
            yield at, character, depth
        elif character in ")]}":
            depth = max(0, depth - 1)
        elif character == ",":
            yield at, character, depth
        at += 1


def _closing(value: str, at: int) -> int:
    """Where the quote that opens at `at` closes, or the end."""
    found = re.compile(rf"(?<!\\)(?:\\\\)*{value[at]}").search(value, at + 1)
    return len(value) if found is None else found.end() - 1


def _quoted_part(value: str, text: bool) -> str:
    if value.startswith("~/"):
        value = str(user_path(value))
    if text and TYPED.fullmatch(value.strip()):
        return f"'{value.strip()}'"
    if STRUCTURED.search(value) or ALPHABET.fullmatch(value):
        return value
    # Backslashes count only before a quote, and here that is the closing one.
    trailing = len(value) - len(value.rstrip("\\"))
    return f"'{value}{chr(92) * trailing}'"


def _no_assignment(word: str, folders: list[Path]) -> str:
    if word.startswith(("=", "+=", "++=")):
        return f"{word}: the key before the = is missing"
    holders = [group for group in groups.names(folders) if word in groups.options(group, folders)]
    near = f" (did you mean {holders[0]}={word}?)" if holders else ""
    if groups.is_group(word, folders):
        near = f"; {listed(word, groups.options(word, folders))}"
    return f"{word}: settings are written key=value{near}"


def _missing_options(key: str, group: str, value: str, folders: list[Path]) -> Iterator[str]:
    """Faults of a group's value where it is one name, or several of a list or a sweep.

    Hydra itself says nothing of a wrong option of an `optional` group.
    """
    if not groups.is_group(group, folders):
        near = hint(group, groups.names(folders))
        yield f"{group}: unknown group{near}; available: {', '.join(groups.names(folders))}"
        return
    have = groups.options(group, folders)
    if value.startswith("{"):
        at = f"{key} = {cut(value)}"
        yield f"{at}: must be an option; {listed(group, have)}; set a part with {key}.NAME=..."
        return
    if re.fullmatch(rf"\s*(?:{SWEEPS})\s*\(.*\)\s*", value, re.DOTALL):
        return
    names = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    for name in (part.strip().strip("'\"") for part in names.split(",")):
        if re.fullmatch(r"[\w\-/.]*", name) and _is_file(group, name, folders):
            continue
        near, available = hint_of_option(group, cut(name), have), listed(group, have)
        yield f"{key} = {cut(name)}: unknown option{near}; {available}"


def _is_file(group: str, name: str, folders: list[Path]) -> bool:
    file = f"{name.removesuffix('.yaml')}.yaml"
    if not name or len(name) > LONGEST_NAME:
        return False
    return any((folder / group / file).is_file() for folder in (CONF, *folders))
