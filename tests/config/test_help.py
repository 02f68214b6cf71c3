"""The pages of `gan-train` alone, --help and --list: complete, correct, and there at once."""

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
from gan_cli.config.catalogue import Composition, root_settings
from gan_cli.config.command_line import prepare
from gan_cli.config.groups import CONF
from gan_cli.config.settings import read
from gan_cli.config.validation import modules_named_in
from gan_cli.errors import ConfigError
from gan_cli.formatting import leaves

PAGES = ["", "--help", "--list", "--help settings", "--help options", "model=wgan --help"]


def page(*argv: str) -> str:
    return "\n".join(help.page(list(argv)))


@pytest.mark.parametrize("words", PAGES)
def test_nothing_heavy_is_imported(words: str) -> None:
    code = (
        f"import sys; sys.argv = ['gan-train', *{words.split()}];"
        "from gan_cli.commands.train import run; run(sys.argv[1:]);"
        "heavy = {'torch', 'hydra', 'omegaconf', 'pydantic', 'numpy', 'yaml', 'rich'};"
        "sys.exit(f'imported: {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = help.page(words.split())
    assert done.stdout == "\n".join(line.removeprefix("#") for line in lines) + "\n"


def test_a_page_of_a_few_lines_begins() -> None:
    text = page()
    assert len(text.splitlines()) <= 12
    commands = re.findall(r"^  (gan-train .*?) +#", text, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        prepare(command.split()[1:])
    root = settings_of()
    assert f"model={root.choices['model']}, data={root.choices['data']}" in text
    assert f"{root.steps:,} steps" in text
    assert re.search(r"takes (about \d+ minutes on \d+ CPU |some minutes on the GPU)", text)


def test_the_overview_fits_a_screen() -> None:
    lines = page("--help").splitlines()
    assert 24 <= len(lines) <= 40
    text = page("--help")
    for group, chosen in groups.defaults().items():
        count = len(groups.options(group))
        assert re.search(rf"^  {group} +{chosen.replace('null', '-')} +{count}  \w", text, re.M)
    assert set(help.GROUPS) == set(groups.names())
    assert len(help.KEYS) >= 8


@pytest.mark.parametrize("command", help.EXAMPLES)
def test_examples_are_right(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = prepare(command.split()[1:])
    # Of several values the first will do.
    first = [word.split(",")[0] for word in line.for_hydra]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        read(compose("train", first), line)


@pytest.mark.parametrize("group", groups.names())
def test_the_page_of_a_group_explains_every_option(group: str) -> None:
    text = page("--help", group)
    for option in groups.options(group):
        match = re.search(rf"^ [ *]{option} +(\w.*)(?:\n {{6,}}.*)*$", text, re.MULTILINE)
        assert match, option
        assert not match[0].endswith("..."), option
        assert len(match[0].partition(option)[2].split()) > 2, option
    marked = re.findall(r"^ \*(\w+)", text, re.MULTILINE)
    assert marked == [o for o in [groups.defaults()[group]] if o != "null"]


def test_the_list_names_every_option() -> None:
    text = page("--list")
    for group in groups.names():
        part = text.partition(f"#{group}\n")[2].partition("#")[0]
        words = set(re.findall(r"\w+", part))
        assert set(groups.options(group)) <= words, group


@pytest.mark.slow
@pytest.mark.parametrize("model", groups.options("model"))
def test_the_page_of_a_model_has_the_values_that_are_composed(model: str) -> None:
    text = page(f"model={model}", "--help")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        root = OmegaConf.to_container(compose("train", [f"model={model}"]))
    assert isinstance(root, dict)
    shown = dict(re.findall(r"^  ([\w]+\.[\w.]+) +(\[\[.*?\]\]|\[.*?\]|\S+)", text, re.MULTILINE))
    assert shown
    assert {key for key in shown if key.startswith("model.")} == {
        f"model.{key}"
        for key, value in leaves(root["model"])
        if key != "_target_" and not str(value).startswith("${")
    }
    for key, value in shown.items():
        node = root
        for part in key.split("."):
            node = node[part]
        assert OmegaConf.to_container(OmegaConf.create(f"x: {value}"))["x"] == node, key  # type: ignore[index]
    for group in help.PARTS:
        target = f"#{group}="
        assert (target in text) == (group == "optimizer" or f"${{{group}}}" in str(root["model"]))


def test_choices_and_values_of_the_line_count() -> None:
    text = page("model=WGAN", "loss=hinge", "optimizer.lr=1e-4", "--help")
    assert "#model=wgan\n" in text
    assert "#loss=hinge\n" in text
    assert re.search(r"^  optimizer.lr +1e-4 +learning rate$", text, re.MULTILINE)
    assert page("--help", "wgan") == page("model=wgan", "--help") == page("-h", "WGAN")
    assert page("--help", "lsgan").startswith("model=lsgan stands for:\n  model=dcgan loss=least_")
    assert page("--help", "gradient_penalty").startswith("#penalty=gradient_penalty\n  Gulrajani")
    preset = page("experiment=lsgan_mnist", "--help")
    assert re.search(r"^  network.width +32 +channels", preset, re.MULTILINE)
    assert "#loss=least_squares" in preset


def test_points_show_the_network_that_they_get() -> None:
    assert "#network=mlp\n" in page("model=wgan", "data=ring", "--help")
    assert "#network=dcgan\n" in page("model=wgan", "data=ring", "network=dcgan", "--help")


@pytest.mark.parametrize("option", ["-m", "--multirun"])
def test_m_alone_explains_itself(option: str) -> None:
    text = page(option)
    assert text.startswith("-m trains one run per combination")
    assert "gan-train -m model=wgan,wgan_gp seed=0,1,2" in text


@pytest.mark.parametrize(
    "preset", ["gaussian_1d_wgan_gp", "energy_1d", "pacgan_ring", "d2gan_ring"]
)
def test_a_preset_s_choices_are_those_that_hydra_makes(preset: str) -> None:
    made = Composition(())
    made.choose("experiment", preset)
    choices = settings_of(f"experiment={preset}").choices
    assert {group: made.chosen[group] for group in choices} == choices


@pytest.mark.parametrize(
    ("word", "near"), [("wgna", " (did you mean wgan?)"), ("zzz", ""), ("model=zzz", "")]
)
def test_an_unknown_word_is_refused(word: str, near: str) -> None:
    with pytest.raises(ConfigError) as caught:
        page("--help", word)
    said = "no such group, option or setting" if "=" not in word else "unknown option"
    assert f"{said}{near}" in str(caught.value)


def test_every_root_key_is_shown_with_its_default() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        root = OmegaConf.to_container(compose("train"))
    assert isinstance(root, dict)
    text = page("--help", "settings")
    for key, value in leaves({k: v for k, v in root.items() if k not in help_groups()}):
        if not isinstance(value, dict):
            shown = "null" if value is None else str(value).lower()
            assert re.search(rf"^  {re.escape(key)} +{shown} +\w", text, re.MULTILINE), key
    for row in root_settings():
        assert len(row.meaning.split()) > 1, row


def help_groups() -> set[str]:
    return set(groups.names()) - {"runtime"}


@pytest.mark.parametrize(
    "words", [*PAGES, *(f"--help {name}" for name in groups.names()), "--help text_lstm"]
)
@pytest.mark.parametrize("width", [80, 100])
def test_lines_fit(words: str, width: int) -> None:
    for line in help.page(words.split(), width):
        assert len(line.removeprefix("#")) <= width, line
        assert line == line.rstrip()


def test_own_groups_are_shown(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mygan.yaml").write_text(
        "# @package _global_\n# Mine, 2026.\ndefaults:\n  - wgan@_global_\nmodel:\n  x: 1 # it\n"
    )
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "conv.yaml").write_text("width: 1\n")
    own = ["--config-dir", str(tmp_path)]
    assert re.search(r"^ +mygan +Mine, 2026\.$", page("--help", "model", *own), re.MULTILINE)
    assert re.search(r"^  encoder +- +1$", page("--help", *own), re.MULTILINE)
    assert "mygan" in page("--list", *own)
    text = page("--help", "mygan", *own)
    assert re.search(r"^  model.x +1 +it$", text, re.MULTILINE)
    assert re.search(r"^  model.d_steps +5 +disc", text, re.MULTILINE)
    assert "#loss=wasserstein" in text
    assert page("--help", "encoder", *own).startswith("#encoder=OPTION: your own group\n  conv\n")
    assert "Mine" not in page("--help", "model")
    assert page("--help", "--config-dir", "/no/such") == page("--help")


def test_colours_only_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    help.answer(["--list"])
    plain = capsys.readouterr().out
    assert "\033" not in plain
    assert plain.startswith("model\n")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    help.answer(["--list"])
    coloured = capsys.readouterr().out
    assert "\033[1;32m*mnist\033[0m" in coloured
    assert re.sub(r"\033\[[\d;]*m", "", coloured) == plain
    monkeypatch.setenv("NO_COLOR", "1")
    help.answer(["--list"])
    assert capsys.readouterr().out == plain


def test_a_pipe_among_config_files_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    os.mkfifo(tmp_path / "model" / "pipe.yaml")
    (tmp_path / "model" / "mine.yaml").write_bytes(
        b"# It is mine \xff\x1b[31m\n_target_: mine.Mine\n"
    )
    text = page("--help", "model", f"--config-dir={tmp_path}")
    assert "It is mine" in text
    assert "pipe" not in text
    assert modules_named_in([tmp_path]) == ["mine"]
