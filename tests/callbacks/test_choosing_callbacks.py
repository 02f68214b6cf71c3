"""Callbacks as a choice: ours, a user's own, and none of a stranger's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gan_cli.config.schema import Settings
from gan_cli.config.settings import from_yaml, settings_of, to_yaml
from gan_cli.errors import ConfigError

SMALL = ["data=gaussian_1d", "model=gan", "network=mlp", "network.width=8", "batch_size=8"]
SMALL += ["steps=4", "log_every=2", "sample_every=2", "run.dir=run", "runtime.device=cpu"]
MODULE = """
from gan_cli.callbacks.callback import Callback, RunContext
from gan_cli.runs.folder import RunFolder


class Losses(Callback):
    def __init__(self, run: RunContext, name: str = "losses.txt"):
        self.run, self.path = run, run.folder.path / name

    def start(self, step):
        with self.run.sampling() as model:
            self.samples = len(model.sample(3))

    def logged(self, step, scalars, outputs):
        with self.path.open("a") as file:
            print(step, self.samples, "loss/generator" in scalars, file=file)
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A working directory with a module and a YAML file of the user's."""
    (tmp_path / "own.py").write_text(MODULE)
    folder = tmp_path / "conf" / "callbacks"
    folder.mkdir(parents=True)
    (folder / "losses.yaml").write_text("losses:\n  _target_: own.Losses\n  name: mine.txt\n")
    return tmp_path


def gan_train(*arguments: str, cwd: Path, expect: int = 0) -> str:
    command = [sys.executable, "-m", "gan_cli.commands.train", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == expect, done.stderr
    return done.stderr


def test_a_run_of_an_older_version_has_the_default_ones() -> None:
    default = settings_of().callbacks
    assert Settings.model_fields["callbacks"].default == default
    assert list(default) == ["animation", "samples", "tensorboard", "progress"]
    text = to_yaml(settings_of("callbacks=none"))
    assert "callbacks: {}\n" in text
    assert from_yaml(text).callbacks == {}
    assert from_yaml(text.replace("callbacks: {}\n", "")).callbacks == default


@pytest.mark.parametrize(
    ("typed", "chosen"),
    [
        (["callbacks=progress"], ["progress"]),
        (["callbacks=[samples,progress]"], ["samples", "progress"]),
        (["~callbacks.tensorboard"], ["animation", "samples", "progress"]),
        (["~callbacks"], []),
    ],
)
def test_a_choice_is_a_list_in_the_order_of_the_calls(typed: list[str], chosen: list[str]) -> None:
    assert list(settings_of(*typed).callbacks) == chosen


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("callbacks=[default,mine]", r"callbacks = mine: unknown option; available: animation"),
        ("callbacks.progress.bar=1", r"callbacks\.progress\.bar: Progress has no such setting"),
        ("callbacks.progress.run=1", r"callbacks\.progress\.run: comes from the program"),
        ("callbacks.own=1", r"callbacks\.own = 1: must be a mapping with _target_"),
    ],
)
def test_a_wrong_choice_is_a_message(typed: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        settings_of(typed)


@pytest.mark.slow
def test_a_callback_of_the_user_s_is_one_file_and_one_yaml(own: Path) -> None:
    gan_train("--config-dir=conf", "callbacks=[default,losses]", *SMALL, cwd=own)
    run = own / "run"
    assert (run / "mine.txt").read_text() == "2 3 True\n4 3 True\n"
    assert list(run.glob("events.out.tfevents.*"))
    # Code that the run folder names is not imported unless the user says so.
    (own / "own.py").write_text(f"open('imported', 'w')\n{MODULE}")
    said = gan_train("resume=run", "steps=6", cwd=own, expect=2)
    assert "callbacks.losses._target_ = own.Losses: not part of gan_cli" in said
    assert "--trust own" in said
    assert not (own / "imported").exists()
    more = ["resume=run", "steps=6", "callbacks.losses.name=more.txt", "~callbacks.tensorboard"]
    gan_train("--config-dir=conf", *more, cwd=own)
    assert (run / "more.txt").read_text() == "6 3 True\n"
    assert len(list(run.glob("events.out.tfevents.*"))) == 1


@pytest.mark.slow
def test_metrics_jsonl_is_written_whatever_is_chosen(tmp_path: Path) -> None:
    gan_train("callbacks=none", *SMALL, cwd=tmp_path)
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2
    assert not list((tmp_path / "run").glob("events*"))
    assert not list((tmp_path / "run" / "samples").iterdir())


def test_another_class_is_refused_before_a_run_begins(own: Path) -> None:
    (own / "own.py").write_text(MODULE.replace("Losses(Callback)", "Losses"))
    said = gan_train("--config-dir=conf", "callbacks=[losses]", *SMALL, cwd=own, expect=2)
    assert (
        "callbacks.losses._target_ = own.Losses: must be a gan_cli.callbacks.callback.Callback"
        in said
    )
    assert not (own / "run").exists()
