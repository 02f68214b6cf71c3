"""`gan COMMAND ...`, `python -m gan_cli COMMAND ...`, and `python -m gan_cli.train ...`."""

from __future__ import annotations

import re
import runpy
import sys
import tomllib
from pathlib import Path

import pytest

from gan_cli import __version__
from gan_cli.__main__ import COMMANDS

SCRIPTS = tomllib.loads(
    Path(__file__).parents[2].joinpath("pyproject.toml").read_text(encoding="utf-8")
)["project"]["scripts"]


def run(module: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> object:
    """Run `python -m module ...`; the exit status."""
    monkeypatch.setattr(sys, "argv", [module, *words])
    monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(SystemExit) as end:
        runpy.run_module(module, run_name="__main__", alter_sys=False)
    return end.value.code


def test_each_script_is_a_command_of_the_same_function() -> None:
    functions = {
        f"gan-{name}": f"gan_cli.commands.{module}:{function}"
        for name, (module, function, _) in COMMANDS.items()
    }
    assert functions | {"gan": "gan_cli.__main__:main"} == SCRIPTS


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_given_the_words_behind_its_name(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run("gan_cli.__main__", [name, "--help"], monkeypatch) in (0, None)
    shown = capsys.readouterr().out
    assert re.search(rf"gan[ -]{name}", shown)
    assert [line for line in shown.splitlines() if len(line) > 80] == []
    assert sys.argv[1:] == ["--help"]


@pytest.mark.parametrize(
    ("module", "words"), [("gan_cli.__main__", ["train"]), ("gan_cli.train", [])]
)
def test_train_has_a_newer_and_an_older_form(
    module: str,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(module, [*words, "--version"], monkeypatch) == 0
    assert capsys.readouterr().out == f"gan-train {__version__}\n"


def test_a_command_s_exit_status_is_the_program_s(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run("gan_cli.__main__", ["runs", str(tmp_path / "nothing")], monkeypatch) == 2
    assert "nothing" in capsys.readouterr().err


def test_help_may_stand_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("gan_cli.__main__", ["help", "train"], monkeypatch) == 0
    assert capsys.readouterr().out.startswith("Usage: gan-train ")
    assert run("gan_cli.__main__", ["--version"], monkeypatch) == 0
    assert capsys.readouterr().out == f"gan {__version__}\n"


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"], ["help"]])
def test_without_a_command_they_are_listed(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("gan_cli.__main__", words, monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == list(COMMANDS)


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("trian", " (did you mean train?)"),
        ("gan-sample", " (did you mean sample?)"),
        ("model=gan", ""),
    ],
)
def test_an_unknown_command_is_refused_with_the_nearest(
    word: str, near: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("gan_cli.__main__", [word], monkeypatch) == 2
    assert capsys.readouterr().err == (
        f"error: {word}: unknown command{near}; available: {', '.join(COMMANDS)}\n"
    )
