"""Arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from run_folders import write_run

from gan_cli.commands import evaluate, report, runs, sample
from gan_cli.config.command_line import prepare
from gan_cli.errors import CheckpointError, ConfigError
from gan_cli.runs.lookup import find
from gan_cli.tuning.plan import read


@pytest.mark.parametrize("empty", ["", " "])
@pytest.mark.parametrize(
    ("command", "words"),
    [
        (runs.main, ["remove", "{}", "--yes"]),
        (runs.main, ["remove", "--where", "{}", "--yes"]),
        (runs.main, ["remove", "--where={}", "--yes"]),
        (runs.main, ["{}"]),
        (runs.main, ["--where", "{}"]),
        (runs.main, ["tag", "{}", "x"]),
        (runs.main, ["compare", "runs/a", "{}"]),
        (report.main, ["{}"]),
        (report.main, ["--json={}"]),
        (report.watch, ["{}"]),
        (sample.main, ["{}"]),
        (sample.main, ["runs/a", "--out", "{}"]),
        (evaluate.main, ["{}"]),
        (evaluate.main, ["runs/a", "--data-root", "{}"]),
    ],
)
def test_an_empty_argument_is_an_error_in_every_command(
    command: Callable[[list[str]], None],
    words: list[str],
    empty: str,
    tmp_path,
    monkeypatch,
    capsys,
) -> None:
    monkeypatch.chdir(tmp_path)
    run = write_run(Path("runs/a"), "model=gan")
    with pytest.raises(SystemExit) as exit_:
        command([word.format(empty) for word in words])
    out, err = capsys.readouterr()
    assert exit_.value.code == 2
    assert err.startswith("error: the argument ")
    assert err.endswith(" is empty; a variable of the shell that is not set?\n")
    assert err.count("\n") == 1  # without the usage
    assert not out
    assert run.config.exists()


def test_an_empty_argument_is_an_error_in_training() -> None:
    with pytest.raises(ConfigError, match="an argument is empty; a variable of the shell"):
        prepare(["model=gan", ""])


@pytest.mark.parametrize("words", [[""], ["model=gan", " ", "tune.metric=x"]])
def test_an_empty_argument_is_an_error_in_tuning(words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        read(words)
    assert str(error.value) == "an argument is empty; a variable of the shell that is not set?"


@pytest.mark.parametrize("word", ["resume=", "data.root= ", "+data.labels=", "run.dir=", "seed="])
def test_an_empty_value_is_an_error_in_training(word: str) -> None:
    key = word.strip("+= ")
    with pytest.raises(ConfigError) as error:
        prepare(["model=gan", word])
    assert (
        str(error.value)
        == f'{key} = "": must not be empty; a variable of the shell that is not set?'
    )


def test_an_empty_name_is_no_run_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(write_run(tmp_path / "run", "model=gan").path)
    with pytest.raises(CheckpointError, match="a run folder must be named"):
        find("")
