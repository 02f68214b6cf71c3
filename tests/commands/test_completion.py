"""Completion of `gan` and its commands in a shell."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gan_cli.__main__ import COMMANDS
from gan_cli.commands.completion import answer, candidates
from gan_cli.config import groups
from gan_cli.errors import ConfigError
from gan_cli.runs import folder


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("gan tr", {"train", "translate", "traverse"}),
        ("gan --v", {"--version"}),
        ("gan train mo", {"model=", "model."}),
        ("gan-train model=wga", {"model=wgan", "model=wgan_gp", "model=wgandiv", "model=wganlp"}),
        ("gan train model=WGAN-", {"model=wgan", "model=wgan_gp", "model=wgandiv", "model=wganlp"}),
        ("gan train model=dcgan,pix", {"model=dcgan,pix2pix"}),
        ("gan train dataset=mn", {"dataset=mnist"}),
        ("gan train data=./o", set()),
        ("gan train loss=bc", {"loss=bce"}),
        ("gan train batch", {"batch=", "batch_size=", "batchsize="}),
        ("gan train checkpoint.k", {"checkpoint.keep="}),
        ("gan train model=vae model.be", {"model.beta="}),
        ("gan train model=wgan penalty.l", {"penalty.limit="}),
        ("gan train model.be", set()),
        ("gan train experiment=vae_mnist model.be", {"model.beta="}),
        ("gan train --help pena", {"penalty"}),
        ("gan train --li", {"--list"}),
        ("gan train resume=l", {"resume=latest"}),
        ("gan train weights=l", {"weights=latest"}),
        ("gan train weigh", {"weights=", "weights."}),
        ("gan export --li", {"--licence", "--license"}),
        ("gan-sample l", {"latest"}),
        ("gan sample --trunc", {"--truncation"}),
        ("gan-eval runs/", {"runs/first"}),
        ("gan tune loss=hi", {"loss=hinge"}),
        ("gan wat", {"watch"}),
        ("gan-board --p", {"--port"}),
        ("gan ed", {"edit"}),
        ("gan edit --no", {"--no-browser"}),
        ("gan zzz ", set()),
    ],
)
def test_candidates(line: str, found: set[str]) -> None:
    run = folder.create("seed: 0\n", model="m", data="d", name="first")
    assert json.loads(run.status.read_text())
    assert set(candidates(line, COMMANDS)) == found


def test_every_option_and_section_is_offered() -> None:
    for group in groups.names():
        found = set(candidates(f"gan train {group}=", COMMANDS))
        assert {f"{group}={option}" for option in groups.options(group)} <= found
    assert {"steps=", "checkpoint.", "optimizer.", "lr="} <= set(candidates("gan train ", COMMANDS))


def test_bash_gets_what_follows_the_equals_sign() -> None:
    assert answer(["bash", "gan train prior=g"], COMMANDS) == "gaussian\n"
    assert answer(["zsh", "gan train prior=g"], COMMANDS) == "prior=gaussian\n"
    assert answer(["bash", "gan train pri"], COMMANDS) == "prior.\nprior=\n"
    with pytest.raises(ConfigError, match="must be bash or zsh"):
        answer(["tcsh"], COMMANDS)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes(tmp_path: Path) -> None:
    program = tmp_path / "gan"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m gan_cli "$@"\n')
    program.chmod(0o755)
    script = f"""
        {answer(["bash"], COMMANDS)}
        COMP_LINE="gan-train penalty=wei"; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=(gan-train)
        _gan_complete gan-train; printf '%s|' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        check=True,
    )
    assert done.stdout == "weight_clip|weightclipping|"
    assert done.stderr == ""
