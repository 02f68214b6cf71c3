"""Text of the user is shown as it is: no `[red]` in it is a colour, no `:dog:` a picture."""

from __future__ import annotations

import ast
import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

import gan_cli
from gan_cli import console
from gan_cli import console as console_module
from gan_cli.evaluation.metric import MetricValue
from gan_cli.evaluation.report import Report, show
from gan_cli.sweeps.board import failures
from gan_cli.sweeps.index import JobEntry

PACKAGE = Path(gan_cli.__file__).parent
NAME = "[red]a[/red] :dog: [/] [bold"


@pytest.fixture
def screen() -> Console:
    return console.clean_console(file=io.StringIO(), width=200, force_terminal=True)


def shown(screen: Console) -> str:
    file = screen.file
    assert isinstance(file, io.StringIO)
    return Text.from_ansi(file.getvalue()).plain


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_nothing_of_ours_is_written_in_markup(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.module != "rich.markup"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).rpartition(".")[2]
            assert called not in ("from_markup", "render_markup")
            assert called != "Console" or path.name == "console.py"
            if called == "TextColumn":
                assert "markup=False" in ast.unparse(node)


def test_consoles_show_text_as_it_is(screen: Console) -> None:
    screen.print(NAME, end="")
    assert shown(screen) == NAME


def test_failed_jobs_keep_their_names(screen: Console) -> None:
    entry = JobEntry(NAME, [], "run", state="failed", error=NAME)
    screen.print(failures([entry], Path(NAME)))
    assert shown(screen).count(NAME) == 3


def test_reports_keep_the_names_of_runs_and_figures(screen: Console) -> None:
    figure = MetricValue(NAME, 1.0, note=NAME)
    report = Report(NAME, 1, "raw", [figure], {NAME: NAME}, {NAME: NAME})
    show(screen, report, [NAME])
    assert shown(screen).count(NAME) == 7


def test_progress_bars_keep_the_names_of_folders(screen: Console, monkeypatch) -> None:
    monkeypatch.setattr(console_module, "on_terminal", lambda: True)
    monkeypatch.setattr(console_module, "console", lambda: screen)
    with console_module.progress_bar(f"decoding {NAME}", 3) as advance:
        advance(1)
    assert f"decoding {NAME}" in shown(screen)
