"""`gan-train --help`: complete, correct, and there before anything heavy is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from composing import settings_of
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from gan_cli.config import (
    groups,
    help,  # noqa: A004 - the module's name
)
from gan_cli.config.command_line import prepare
from gan_cli.config.groups import CONF
from gan_cli.config.settings import read
from gan_cli.config.validation import modules_named_in
from gan_cli.formatting import leaves


def page(*argv: str) -> str:
    return "\n".join(help.page(help.config_dirs(list(argv))))


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; sys.argv = ['gan-train', '--help', 'model=wgan'];"
        "from gan_cli.commands.train import run; run(sys.argv[1:]);"
        "heavy = {'torch', 'hydra', 'omegaconf', 'pydantic', 'numpy', 'yaml', 'rich'};"
        "sys.exit(f'imported: {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "\n".join(line.removeprefix("#") for line in help.page([])) + "\n"


def test_every_group_and_option_is_shown() -> None:
    text = page()
    for group in groups.names():
        assert re.search(rf"^  {group} ", text, re.MULTILINE), group
        for option in groups.options(group):
            assert re.search(rf"[ *]{option}( |$)", text, re.MULTILINE), option


def test_defaults_are_marked() -> None:
    marked = set(re.findall(r"^  .{10} \*(\w+)", page(), re.MULTILINE))
    assert marked == {option for option in groups.defaults().values() if option != "null"}


def test_every_root_key_is_shown_with_its_default() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        root = OmegaConf.to_container(compose("train"))
    assert isinstance(root, dict)
    text = page()
    for key, value in leaves({k: v for k, v in root.items() if k not in help_groups()}):
        if not isinstance(value, dict):
            shown = "null" if value is None else str(value).lower()
            assert re.search(rf"^  {re.escape(key)} +{shown} ", text, re.MULTILINE), key


def help_groups() -> set[str]:
    return set(groups.names()) - {"runtime"}


def test_every_setting_says_what_it_is() -> None:
    rows = page().partition("#Settings")[2].partition("#Examples")[0].splitlines()[1:]
    assert len(rows) > 25
    for row in filter(None, rows):
        assert re.fullmatch(r"  [\w.]+ +.*[a-z].*", row), row
        assert len(row.split()) > 2, row


@pytest.mark.parametrize(("key", "default"), [(k, d) for k, d, _ in help.IN_GROUPS])
def test_keys_of_groups_exist(key: str, default: str) -> None:
    group, name = key.split(".")
    data = ["data=folder", "data.root=x"] if group == "data" else []
    node = settings_of(*data).nodes[group]
    assert name in node
    assert default in ("", str(node[name]))


@pytest.mark.parametrize("command", [command for command, _ in help.EXAMPLES])
def test_examples_are_right(command: str) -> None:
    line = prepare(command.split()[1:])
    # Of several values the first will do.
    first = [word.split(",")[0] for word in line.for_hydra]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        read(compose("train", first), line)


def test_there_are_five_examples() -> None:
    assert len(help.EXAMPLES) == 5


def test_lines_fit() -> None:
    for line in page().splitlines():
        assert len(line) <= help.WIDTH, line
        assert line == line.rstrip()


def test_own_groups_are_shown(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mygan.yaml").write_text("# @package _global_\n# Mine, 2026.\nx: 1\n")
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "conv.yaml").write_text("width: 1\n")
    text = page("--config-dir", str(tmp_path))
    assert re.search(r"^ +mygan +Mine, 2026\.$", text, re.MULTILINE)
    assert re.search(r"^  encoder +conv$", text, re.MULTILINE)
    assert "mygan.yaml is" in page()
    assert "Mine" not in page()
    assert page("--config-dir", "/no/such") == page()


def test_colours_only_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    help.show([])
    plain = capsys.readouterr().out
    assert "\033" not in plain
    assert plain.startswith("Usage: gan-train")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    help.show([])
    coloured = capsys.readouterr().out
    assert "\033[1;32m*mnist\033[0m" in coloured
    assert re.sub(r"\033\[[\d;]*m", "", coloured) == plain
    monkeypatch.setenv("NO_COLOR", "1")
    help.show([])
    assert capsys.readouterr().out == plain


def test_long_lines_end_with_a_clause() -> None:
    assert help._cut("word " * 30) == "word " * 19 + "..."
    assert help._cut("a" * 70 + "; " + "b" * 70) == "a" * 70


def test_a_pipe_among_config_files_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    os.mkfifo(tmp_path / "model" / "pipe.yaml")
    (tmp_path / "model" / "mine.yaml").write_bytes(
        b"# It is mine \xff\x1b[31m\n_target_: mine.Mine\n"
    )
    text = page(f"--config-dir={tmp_path}")
    assert "It is mine" in text
    assert "pipe" not in text
    assert modules_named_in([tmp_path]) == ["mine"]
