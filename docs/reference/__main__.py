"""The pages of docs/reference/, written from the commands' parsers and the comments of conf/.

python -m docs.reference            # write them again
"""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from gan_cli.__main__ import COMMANDS
from gan_cli.config import groups
from gan_cli.config.aliases import KEYS, OPTIONS
from gan_cli.config.catalogue import (
    Composition,
    Setting,
    comment_of,
    defaults_of,
    root_settings,
    settings_of,
)
from gan_cli.config.help import EXAMPLES, GROUPS, OPTION_ROWS, PARTS, STATUSES

HERE = Path(__file__).parent
WRITTEN = "Written by `python -m docs.reference` from {}."
METRIC = "what `gan-eval --metrics` and `evaluation.metrics` can compute"
# What is code in a comment: `code`, key=value, a path, a command, an option.
CODE = re.compile(
    r"`(?P<code>[^`]+)`"
    r"|\b(?P<page>docs/(?P<name>\w+)\.md)\b"
    r"|(?<![\w-])(?P<word>--[a-z][\w-]+|eval \"\$\([^)]*\)\"|gan-[a-z]+(?: RUN| --?[a-z][\w-]*)*"
    r"|[a-z_][a-z0-9_]*(?:\.\w+)*=(?:\[[^\]]*\]|[\w.,/<>-]*\w)|conf/[\w/]+\.yaml|[\w/]+\.(?:jsonl|yaml|pt))"
)
SPECIAL = re.compile(r"([\\*|<]|(?<!\w)_|_(?!\w))")
COLUMNS = re.compile(r"  (\S.*?)  +(\S.*)")


def main() -> None:
    """Write the pages."""
    parser = argparse.ArgumentParser(prog="docs.reference", description=(__doc__ or "")[:94])
    parser.parse_args()
    for name, text in pages().items():
        (HERE / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """The text of each page, by its file's name."""
    found = {
        "README.md": _index(),
        "commands.md": _commands(),
        "settings.md": _settings(),
        "experiment.md": _presets(),
        "metric.md": _metrics(),
    }
    for name in groups.names():
        if name not in ("experiment", "runtime"):  # the second is in settings.md
            found[f"{name}.md"] = _group(name)
    return {name: "\n".join(lines) + "\n" for name, lines in found.items()}


def _index() -> Iterator[str]:
    yield from ("# Reference", "", WRITTEN.format("the commands and `conf/`"), "")
    yield "- [Commands](commands.md): each with its options and examples."
    yield "- [Settings](settings.md) of every run: `key=value`."
    yield "- Groups: `group=option` chooses one of their options, each a file of `conf/`."
    yield ""
    chosen = groups.defaults()
    rows = [
        (f"[{name}]({_page(name)})", _code(chosen.get(name, "null").replace("null", "-")), text)
        for name in groups.names()
        for text in [f"{md(GROUPS[name])} ({len(groups.options(name))})"]
    ]
    rows.append((f"[{groups.METRIC}](metric.md)", "", f"{METRIC} ({len(_metric_files())})"))
    yield from _table(("group", "default", "what it is (and how many options)"), rows)
    yield from ("", "## Other names", "")
    yield "The command line also takes these names, whatever their case, dashes and underscores."
    yield "A run's `config.yaml` has the names on the right."
    yield ""
    options = [
        (_code(f"{group}={name}"), _code(" ".join(_overrides(group, stands))))
        for group, names in OPTIONS.items()
        for name, stands in names.items()
    ]
    yield from _table(("typed", "stands for"), options)
    yield ""
    yield from _table(("typed", "stands for"), [(_code(a), _code(b)) for a, b in KEYS.items()])


def _overrides(group: str, stands_for: str | Sequence[str]) -> Sequence[str]:
    return [f"{group}={stands_for}"] if isinstance(stands_for, str) else stands_for


def _commands() -> Iterator[str]:
    yield from ("# Commands", "", WRITTEN.format("the parsers of the commands"), "")
    yield "`gan COMMAND` is the same as `gan-COMMAND`, and `gan --help` lists them all."
    yield "RUN is a run folder, a part of its name that no other run has, a folder of runs (then"
    yield "its newest) or `latest`."
    yield ""
    rows = [
        (f"[gan-{name}](#gan-{name})", md(text.partition(" (")[0]))
        for name, (*_, text) in COMMANDS.items()
    ]
    yield from _table(("command", "what it does"), rows)
    for name, (module, function, _) in COMMANDS.items():
        yield from ("", f"## gan-{name}", "")
        command = importlib.import_module(f"gan_cli.commands.{module}")
        if name == "train":
            yield from _training()
        elif hasattr(command, "parser"):
            yield from _parser(
                command.parser() if function == "main" else command.parser(f"gan-{name}")
            )
            for inner in getattr(command, "COMMANDS", ()):
                yield from ("", f"### gan-{name} {inner}", "")
                yield from _parser(command.parser(inner), epilog=False)
        else:
            usage, text = command.HELP.split("\n\n", 1)
            yield from _fenced([usage.removeprefix("Usage: ")])
            yield from _text_help(text)
    yield from ("", "## Exit status", "")
    yield from _table(("status", "meaning"), [(_code(a), md(b)) for a, b in STATUSES])


def _training() -> Iterator[str]:
    yield from _fenced(["gan-train [group=option ...] [key=value ...] [options]"])
    yield ""
    yield "Train a model, or several. [Settings](settings.md) and [groups](README.md) have pages of"
    yield "their own; `gan-train --help GROUP` and `gan-train model=wgan --help` show the same in a"
    yield "terminal."
    yield ""
    yield from _table(("option", "meaning"), [(_code(a), md(b)) for a, b in OPTION_ROWS])
    yield ""
    yield from _fenced(EXAMPLES)


def _parser(parser: argparse.ArgumentParser, epilog: bool = True) -> Iterator[str]:
    """A command's usage, its arguments and options, its examples and what else its help says."""
    actions = [a for a in parser._actions if a.dest not in ("help", "version")]
    words = [_argument(action) for action in actions if not action.option_strings]
    options = ["[options]"] if any(action.option_strings for action in actions) else []
    yield from _fenced([" ".join([parser.prog, *words, *options])])
    yield from ("", parser.description or "", "")
    formatter = parser._get_formatter()
    rows = [
        (
            _code(" ".join(filter(None, (", ".join(action.option_strings), _argument(action))))),
            md(formatter._expand_help(action) if action.help else ""),
        )
        for action in actions
    ]
    yield from _table(("argument", "meaning"), rows)
    if epilog:
        yield from _text_help(parser.epilog or "")


def _argument(action: argparse.Action) -> str:
    """The argument of an option, or a positional one, as a usage line shows it."""
    if action.nargs == 0:
        return ""
    name = "|".join(map(str, action.choices)) if action.choices else action.metavar
    name = str(name or action.dest.upper())
    shown = {"?": f"[{name}]", "*": f"[{name} ...]", "+": f"{name} [{name} ...]"}
    return shown.get(str(action.nargs), name)


def _text_help(text: str) -> Iterator[str]:
    """A help text in plain words: its indented lines as code, the others as sentences."""
    for block in text.strip("\n").split("\n\n"):
        yield ""
        lines = block.split("\n")
        if not any(line.startswith("  ") for line in lines):
            yield from map(md, lines)
            continue
        if not lines[0].startswith(" "):
            yield from (f"{md(lines.pop(0).rstrip(':')).capitalize()}:", "")
        rows = [match.groups() for line in lines if (match := COLUMNS.fullmatch(line))]
        if len(rows) == len(lines) and not lines[0].startswith("  gan"):
            yield from _table(("setting", "meaning"), [(_code(a), md(b)) for a, b in rows])
        else:
            yield from _fenced(re.sub(r"(?<=\S)(  +)(?=\S)", r"\1# ", line[2:]) for line in lines)


def _settings() -> Iterator[str]:
    yield from (
        "# Settings",
        "",
        WRITTEN.format("`conf/train.yaml` and `conf/runtime/auto.yaml`"),
        "",
    )
    yield "`gan-train key=value` sets them. Those of a model, a network, a loss ... are on the"
    yield "pages of the [groups](README.md)."
    yield ""
    yield from (md(_below_the_top(groups.CONF / "train.yaml")), "")
    rows: dict[str, list[Setting]] = {}
    for row in root_settings():
        rows.setdefault(row.key.rpartition(".")[0], []).append(row)
    yield from _rows(rows.pop(""))
    says = dict(
        re.findall(r"^(\w+): *# *(.*)$", (groups.CONF / "train.yaml").read_text("utf-8"), re.M)
    )
    for section, found in rows.items():
        yield from ("", f"## {section}", "")
        if said := says.get(section) or comment_of(groups.options("runtime")["auto"]) * (
            section == "runtime"
        ):
            yield from (_sentence(said), "")
        yield from _rows(found)


def _below_the_top(file: Path) -> str:
    """The comments on lines of their own, but for those at the top of the file."""
    lines = [line[2:] for line in file.read_text("utf-8").splitlines() if line.startswith("# ")]
    return " ".join(lines).removeprefix(comment_of(file)).strip()


def _group(name: str) -> Iterator[str]:
    """The page of a group: each option with its comment and its settings."""
    options = groups.options(name)
    yield from (f"# {name}", "", WRITTEN.format(f"`conf/{name}/`"), "")
    default = groups.defaults().get(name, "null")
    chosen = f"; the default is [{default}](#{default})" if default in options else ""
    yield f"`{name}=OPTION`: {md(GROUPS[name])}{chosen}."
    for option, file in options.items():
        yield from ("", f"## {option}", "", _sentence(comment_of(file)))
        if name != "callbacks":  # which have no settings of their own
            yield from _option(name, option, file)


def _option(group: str, option: str, file: Path) -> Iterator[str]:
    """The parts that a model chooses, and the settings of any option that no parent has alike."""
    made = Composition(())
    if group == "model":
        made.choose(group, option)
        parts = [part for part in PARTS if part in made.used or part == "optimizer"]
        yield from ("", f"Its parts: {_links({part: made.chosen[part] for part in parts})}.")
    parents = [other for part, other in defaults_of(file) if not part and other != "_self_"]
    if parents:
        yield from ("", f"The settings of {' and '.join(f'[{p}](#{p})' for p in parents)}, and:")
    known = {row.key: row for row in made.settings(group, option)}
    prefix = "" if group == "model" else f"{group}."
    own = [Setting(f"{prefix}{row.key}", row.value, row.meaning) for row in settings_of(file)]
    rows = [known.get(row.key, row) for row in own if not row.value.startswith("${")]
    if rows:
        yield ""
        yield from _rows(rows)


def _presets() -> Iterator[str]:
    yield from ("# experiment", "", WRITTEN.format("`conf/experiment/`"), "")
    yield f"`experiment=OPTION`: {md(GROUPS['experiment'])}. The command line changes any of"
    yield "its settings."
    yield ""
    options = groups.options("experiment")
    made = {option: Composition(()) for option in options}
    for option, one in made.items():
        one.choose("experiment", option)
    rows = [
        (
            f"[{option}](#{option})",
            *(f"[{one.chosen[g]}]({g}.md#{one.chosen[g]})" for g in ("model", "data")),
        )
        for option, one in made.items()
    ]
    yield from _table(("preset", "model", "data"), rows)
    for option, file in options.items():
        yield from ("", f"## {option}", "")
        yield from _fenced([f"gan-train experiment={option}"])
        yield from ("", _sentence(comment_of(file)))
        usual = groups.defaults() | {"experiment": option}
        chosen = {g: c for g, c in made[option].chosen.items() if c != usual.get(g)}
        model = Composition(())
        model.choose("model", made[option].chosen["model"])
        rows = [
            _code(f"{row.key}={row.value}")
            for row in made[option].changed.values()
            if row != model.changed.get(row.key) and not row.value.startswith("${")
        ]
        yield ""
        if chosen:
            yield f"Chooses {_links(chosen)}."
        if rows:
            yield f"Sets {', '.join(rows)}."


def _links(chosen: Mapping[str, str]) -> str:
    return ", ".join(f"[{group}={name}]({group}.md#{name})" for group, name in chosen.items())


def _metric_files() -> dict[str, Path]:
    return {file.stem: file for file in sorted((groups.CONF / groups.METRIC).glob("*.yaml"))}


def _metrics() -> Iterator[str]:
    yield from ("# metric", "", WRITTEN.format("`conf/metric/`"), "")
    yield f"Metrics: {METRIC}. [Evaluation](../evaluation.md) explains them and says which to"
    yield "trust; `gan-eval --metrics list` says which of them `auto` includes."
    yield ""
    rows = [(_code(name), md(comment_of(file))) for name, file in _metric_files().items()]
    yield from _table(("metric", "what it is"), rows)


def _page(group: str) -> str:
    return "settings.md#runtime" if group == "runtime" else f"{group}.md"


def _rows(rows: Iterable[Setting]) -> Iterator[str]:
    yield from _table(
        ("setting", "default", "meaning"),
        [(_code(row.key), _code(row.value), md(row.meaning)) for row in rows],
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _fenced(lines: Iterable[str]) -> Iterator[str]:
    yield from ("```sh", *lines, "```")


def _sentence(text: str) -> str:
    shown = md(text)
    return f"{shown[:1].upper()}{shown[1:].rstrip('.')}."


def _code(text: str) -> str:
    shown = text.replace("|", "\\|")
    return f"`{shown}`" if text else ""


def md(text: str) -> str:
    """`text` as Markdown: what is code in backticks, names of pages as links, the rest escaped."""
    parts: list[str] = []
    end = 0
    for match in CODE.finditer(text):
        parts.append(_escaped(text[end : match.start()]))
        if match["page"]:
            parts.append(f"[{match['page']}](../{match['name']}.md)")
        else:
            parts.append(_code(match["code"] or match["word"]))
        end = match.end()
    return "".join([*parts, _escaped(text[end:])])


def _escaped(text: str) -> str:
    return SPECIAL.sub(r"\\\1", text).replace("\\<", "&lt;")


if __name__ == "__main__":
    main()
