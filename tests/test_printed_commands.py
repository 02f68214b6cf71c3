"""Commands that the programs print work when they are pasted into a shell."""

from __future__ import annotations

import logging
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from data.pictures import noise, save
from run_folders import config

from gan_cli.commands import evaluate, sample, train
from gan_cli.config.command_line import prepare
from gan_cli.config.reproduce import origin
from gan_cli.config.settings import settings_of
from gan_cli.console import setup_logging
from gan_cli.errors import ConfigError
from gan_cli.formatting import assignment
from gan_cli.runs import folder
from gan_cli.runs.folder import RunFolder
from gan_cli.sweeps import launch
from gan_cli.tuning import results
from gan_cli.tuning.plan import plan_of

NASTY = """My "Drive", it's (a & b); $HOME * \\ [x] {y}#=~é"""
SMALL = ["model=dcgan", "data=folder", "data.size=16", "data.workers=1", "network.width=8"]
SMALL += ["steps=2", "log_every=1", "sample_every=2", "batch_size=8", "runtime.device=cpu"]
SMALL += ["runtime.threads=1"]
HINT = re.compile(r"^  (board|sample|evaluate|resume) +(.*)$", re.MULTILINE)
STUB = r"""#!/bin/bash
printf '%s\0' "${0##*/}" "$@" >> "$WORDS"
printf '\1' >> "$WORDS"
"""
PROGRAMS = ("gan-train", "gan-sample", "gan-eval", "gan-board", "cp", "mkdir")
Paste = Callable[[str], list[list[str]]]


@pytest.fixture(scope="module")
def paste(tmp_path_factory: pytest.TempPathFactory) -> Paste:
    """Gives a line to bash; the words that each program of it gets, its name first."""
    stubs = tmp_path_factory.mktemp("bin")
    for name in PROGRAMS:
        (stubs / name).write_text(STUB)
        (stubs / name).chmod(0o755)

    def pasted(line: str) -> list[list[str]]:
        words = stubs / "words"
        words.write_bytes(b"")
        environment = {"PATH": f"{stubs}:{os.environ['PATH']}", "WORDS": str(words)}
        subprocess.run(["bash", "-c", line], env=environment, check=True)
        return [part.split("\0")[:-1] for part in words.read_text().split("\1")[:-1]]

    return pasted


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    before = logging.getLogger().handlers[:]
    yield
    setup_logging(None)
    logging.getLogger().handlers[:] = before


def test_what_a_run_says_at_its_end_can_be_pasted(
    paste: Paste, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(8):
        save(Path(NASTY, "photos", f"{number}.png"), noise(20, 20, 3, number))
    run = RunFolder(Path(NASTY, "r"))
    places = [assignment("run.dir", run.path), assignment("data.root", Path(NASTY, "photos"))]
    assert train.compose([*SMALL, *places]) == 0
    hints = {name: paste(line) for name, line in HINT.findall(capsys.readouterr().err)}
    assert hints["board"] == [["gan-board", str(run.path)]]
    with pytest.raises(SystemExit, match=r"^0$"):
        sample.main(hints["sample"][0][1:])
    assert (tmp_path / capsys.readouterr().out.rstrip("\n")).is_relative_to(tmp_path / run.samples)
    with pytest.raises(SystemExit, match=r"^0$"):
        evaluate.main([*hints["evaluate"][0][1:], "--samples", "8"])
    assert len(list(run.evaluations.glob("*.json"))) == 1
    assert train.compose(hints["resume"][0][1:]) == 0
    assert run.read_status()["step"] == 4
    (again,) = paste(origin(yaml.safe_load(run.read_config() or "")).command())
    assert settings_of(*again[1:]).data["root"] == str(tmp_path / NASTY / "photos")


def test_a_run_folder_that_is_taken_is_named_so_that_it_can_be_resumed(paste: Paste) -> None:
    RunFolder(NASTY).path.mkdir()
    RunFolder(NASTY).write_status(folder.RUNNING, 0)
    with pytest.raises(ConfigError) as refused:
        folder.create(config(), model="gan", data="ring", folder=NASTY)
    advice = re.search(r"(resume=.*|'resume=.*) resumes it", str(refused.value))
    assert advice is not None
    ((_, word),) = paste(f"gan-train {advice[1]}")
    assert settings_of(word).resume == NASTY


def test_commands_of_sweeps_can_be_pasted(paste: Paste) -> None:
    Path(NASTY).mkdir()
    typed = [f"--config-dir={NASTY}", "-m", "seed=1,2", "optimizer.betas=[0.5,0.9]"]
    line = prepare([*typed, assignment("run.root", NASTY)])
    (again,) = paste(launch.command_text(line))
    found = prepare(again[1:])
    assert (found.for_hydra, found.overrides, found.config_dirs) == (
        line.for_hydra,
        line.overrides,
        line.config_dirs,
    )
    assert paste(launch.curves(Path(NASTY))) == [["gan-board", NASTY]]
    one = ["++seed=1", "++optimizer.betas=[0.5,0.9]", f"++{assignment('run.root', NASTY)}"]
    (alone,) = paste(line.text(one))
    settings = settings_of(*alone[1:])
    assert (settings.run.root, settings.optimizer["betas"]) == (NASTY, [0.5, 0.9])


def test_a_study_says_how_its_preset_is_used(paste: Paste) -> None:
    line = ["data=ring", "optimizer.lr=1e-3,1e-4", "tune.metric=metrics/energy_distance"]
    plan = plan_of([*line, "steps=8"])
    (words,) = paste(results.command(replace(plan, folder=Path(NASTY))))
    assert words == ["gan-train", "--config-dir", NASTY, "experiment=best"]
    mine = replace(plan, folder=Path(NASTY), options=(f"--config-dir=/my {NASTY}",))
    groups, file = f"/my {NASTY}/experiment", f"{NASTY}/experiment/best.yaml"
    assert paste(results.command(mine)) == [
        ["mkdir", "-p", groups],
        ["cp", file, groups],
        ["gan-train", "--config-dir", f"/my {NASTY}", "experiment=best"],
    ]


@pytest.mark.parametrize(
    ("words", "advice", "value"),
    [
        (["optimizer.betas=0.5,0.9"], r"they are written (.*)$", "optimizer.betas=[0.5,0.9]"),
        (["-m", "seed=1,2", "run.name=my x"], r"such as (.*)$", "run.name=my x-${seed}"),
    ],
)
def test_settings_that_errors_advise_can_be_pasted(
    paste: Paste, words: list[str], advice: str, value: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        train.compose(words)
    found = re.search(advice, str(refused.value))
    assert found is not None
    assert paste(f"gan-train {found[1]}") == [["gan-train", value]]
