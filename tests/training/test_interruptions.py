"""What an interrupted run keeps, and what is said of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from composing import SMALL

from gan_cli.commands import runs
from gan_cli.config.command_line import prepare
from gan_cli.config.settings import settings_of
from gan_cli.console import setup_logging
from gan_cli.exits import DONE, INTERRUPTED, guarded
from gan_cli.reporting.terminal import why
from gan_cli.runs import checkpoint, record
from gan_cli.runs.folder import RunFolder
from gan_cli.training.run import train_settings
from gan_cli.training.trainer import Trainer

TOY = ("model=gan", "data=ring", "data.points=256", "network=mlp", "network.depth=1")
TOY += ("steps=12", "log_every=4", "checkpoint.every=100", "sample_every=100")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    setup_logging(None)


def train(name: str, *overrides: str) -> int:
    words = [*SMALL, *TOY, *overrides, f"run.dir={name}"]
    return guarded(lambda: train_settings(settings_of(*words), prepare(words)))


def points(name: str) -> list[dict[str, Any]]:
    lines = (Path(name) / "metrics.jsonl").read_text().splitlines()
    timed = ("time", "speed/", "memory/")
    return [{k: v for k, v in json.loads(x).items() if not k.startswith(timed)} for x in lines]


def at_step(
    monkeypatch: pytest.MonkeyPatch, step: int, *signals: signal.Signals, copy: str = ""
) -> None:
    """In that step, send signals to the own process, or copy the run as a kill leaves it."""
    advance = Trainer.advance

    def advance_and_more(self: Trainer, measure: bool = False) -> None:
        advance(self, measure)
        if self.step == step:
            for number in signals:
                os.kill(os.getpid(), number)
            if copy and not Path("killed").exists():
                shutil.copytree(copy, "killed")

    monkeypatch.setattr(Trainer, "advance", advance_and_more)


def shown(capsys: pytest.CaptureFixture[str], name: str) -> str:
    """The run's line in the list."""
    capsys.readouterr()
    with pytest.raises(SystemExit):
        runs.main(["."])
    lines = capsys.readouterr().out.splitlines()
    return next(line for line in lines if "interrupted" in line and name in line)


def test_a_save_by_time_changes_no_curve_and_resumes_exactly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert train("straight", "checkpoint.minutes=null") == DONE
    at_step(monkeypatch, 8, copy="often")
    assert train("often", "checkpoint.minutes=1e-9") == DONE
    assert points("often") == points("straight")
    state = checkpoint.load(Path("killed/checkpoints/last.pt"))
    assert state["step"] == 7, "saved after each step, and killed within the eighth"
    assert not list(Path("killed/checkpoints").glob("step_*")), "no state to keep"
    assert train("killed", "checkpoint.minutes=null") == DONE
    assert points("killed") == points("straight")
    weights = [checkpoint.load(Path(n) / "checkpoints/last.pt") for n in ("killed", "straight")]
    for name, value in weights[0]["model"].items():
        assert torch.equal(value, weights[1]["model"][name]), name


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_the_first_signal_saves(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], first: signal.Signals
) -> None:
    at_step(monkeypatch, 5, first)
    assert train("run") == INTERRUPTED
    said = capfd.readouterr().err
    assert "stopping after this step, saving; Ctrl-C again ends without saving" in said
    assert f"interrupted at step 5 of 12: stopped by {first.name}" in said
    found = record.read(RunFolder("run"))
    assert (found.state, found.step, found.saved) == ("interrupted", 5, 5)
    assert why(found) == ("stopped by a signal; resuming continues from the state saved at step 5")


def test_a_second_ctrl_c_says_what_is_lost(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    at_step(monkeypatch, 5, signal.SIGINT, signal.SIGINT)
    assert train("run") == INTERRUPTED
    lost = "ended without saving: 5 steps are lost, as no state was saved before; "
    assert f"{lost}gan-train resume=run starts from step 0" in capfd.readouterr().err
    found = record.read(RunFolder("run"))
    assert (found.state, found.step, found.saved) == ("interrupted", 5, None)
    nothing = "no state was saved, so resuming starts from step 0"
    assert found.resume == "gan-train resume=run"
    assert why(found) == f"stopped by a signal; {nothing}"
    assert "interrupted, nothing saved" in shown(capfd, "run")


def test_what_was_saved_before_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    at_step(monkeypatch, 5, signal.SIGINT, signal.SIGINT)
    assert train("run", "checkpoint.every=3") == INTERRUPTED
    lost = "ended without saving: 2 steps are lost; "
    assert f"{lost}gan-train resume=run continues from step 3" in capfd.readouterr().err
    found = record.read(RunFolder("run"))
    assert why(found).endswith("resuming continues from the state saved at step 3")
    assert "interrupted, saved at 3" in shown(capfd, "run")


def test_a_run_without_a_checkpoint_says_that_it_starts_from_step_0(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    at_step(monkeypatch, 5, copy="run")
    assert train("run") == DONE
    capfd.readouterr()
    assert train("killed") == DONE
    assert "killed: no state was saved, so training starts from step 0" in capfd.readouterr().err
    assert points("killed") == points("run")
