"""`gan-board`: TensorBoard on runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gan_cli.commands import board
from gan_cli.runs import folder


def call(*words: str) -> object:
    with pytest.raises(SystemExit) as end:
        board.main(words)
    return end.value.code


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What TensorBoard is started with."""
    found: list[str] = []
    monkeypatch.chdir(tmp_path)

    def execv(program: str, words: list[str]) -> None:
        assert program == sys.executable
        found[:] = words[1:]
        raise SystemExit(0)

    monkeypatch.setattr("os.execv", execv)
    return found


def test_runs_are_served(served: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert call() == 2
    assert "error: runs/: no such folder here; gan train makes" in capsys.readouterr().err
    run = folder.create("seed: 0\n", model="m", data="d", name="first")
    assert call() == 0
    assert served[:4] == ["-m", "tensorboard.main", "--logdir", "runs"]
    assert call("latest", "--port", "7", "--host", "0.0.0.0") == 0
    assert served == [
        *("-m", "tensorboard.main", "--logdir", str(run.path), "--samples_per_plugin", board.KEPT),
        *("--port", "7", "--host", "0.0.0.0"),
    ]
    assert call("zzz") == 2
    assert "zzz is not a run folder" in capsys.readouterr().err
