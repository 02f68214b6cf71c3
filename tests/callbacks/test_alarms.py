"""Runs that are made to fall ill, one for each alarm; benchmarks/alarms.py counts healthy ones."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from inprocess import gan_train
from PIL import Image

from gan_cli.data import dataset
from gan_cli.data.stream import Stream
from gan_cli.models.adversarial import AdversarialModel
from gan_cli.runs.folder import RunFolder

pytestmark = pytest.mark.slow

SMALL = ["runtime.threads=1", "runtime.device=cpu", "runtime.precision=fp32", "callbacks=none"]
SMALL += ["network=mlp", "network.width=16", "prior.dim=2", "batch_size=32", "log_every=1"]
SMALL += ["sample_every=null", "evaluation.every=null", "checkpoint.every=null", "run.dir=run"]
RING = ["model=gan", "data=ring", "data.points=256"]


def alarms(folder: Path, *overrides: str) -> set[str]:
    """The alarms of a run, which are also in its log."""
    said = gan_train(*SMALL, *overrides, cwd=folder)
    found = RunFolder(folder / "run").read_status().get("alarms") or []
    for alarm in found:
        assert f"step {alarm['step']:,}: {alarm['name'].replace('_', ' ')}: " in said
    return {alarm["name"] for alarm in found}


def test_a_generator_that_stands_still_while_the_discriminator_learns(tmp_path: Path) -> None:
    rates = ["optimizer.discriminator.lr=1e-2", "optimizer.generator.lr=1e-8"]
    told = alarms(tmp_path, *RING, *rates, "data.deviation=0.01", "loss=minimax", "steps=150")
    assert told == {"generator_gradient_vanished", "discriminator_saturated"}


def test_a_generator_that_leaps(tmp_path: Path) -> None:
    told = alarms(tmp_path, *RING, "optimizer.generator.lr=1", "steps=40", "sample_every=10")
    assert told == {"dead_units", "mode_collapse"}


def test_modes_that_come_and_go(tmp_path: Path) -> None:
    jumpy = ["optimizer.lr=1e-2", "ema.decay=0", "network.width=32", "data.points=1024"]
    often = ["evaluation.every=20", "evaluation.metrics=[modes]", "evaluation.samples=256"]
    told = alarms(tmp_path, *RING, *jumpy, *often, "steps=240", "log_every=50")
    assert told == {"modes_lost"}


def test_players_that_run_after_each_other(tmp_path: Path) -> None:
    line = ["model=gan", "data=gaussian_1d", "data.points=256", "prior.dim=1", "batch_size=64"]
    momentum = ["optimizer.betas=[0.95,0.99]", "optimizer.lr=2e-3", "steps=1200", "log_every=8"]
    assert alarms(tmp_path, *line, *momentum) == {"oscillation"}


def test_a_penalty_without_weight(tmp_path: Path) -> None:
    ring = ["model=wgan_gp", *RING[1:], "penalty.weight=1e-4", "optimizer.lr=1e-2", "steps=40"]
    assert alarms(tmp_path, *ring) == {"critic_constraint_violated"}


def test_weights_that_are_clipped_at_once(tmp_path: Path) -> None:
    ring = ["model=wgan", *RING[1:], "penalty.limit=1e-6", "optimizer.lr=1e-2", "steps=30"]
    assert "critic_weights_at_limit" in alarms(tmp_path, *ring, "sample_every=10")


def images(folder: Path) -> list[str]:
    """The settings of a folder with 40 images of noise, made here."""
    folder.mkdir()
    draws = np.random.default_rng(0)
    for number in range(40):
        pixels = draws.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    return ["model=gan", "data=folder", f"data.root={folder}", "data.size=8", "batch_size=8"]


def test_a_generator_that_has_learnt_its_images_by_heart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path / "cache"))
    overrides = images(tmp_path / "images")
    files = sorted((tmp_path / "images").glob("*.png"))
    known = np.stack([np.asarray(Image.open(path)) for path in files]).transpose(0, 3, 1, 2)
    known = torch.from_numpy(known.copy()).float() / 127.5 - 1

    def by_heart(self: AdversarialModel, n: int, y: object = None) -> torch.Tensor:
        return known[torch.randint(len(known), (n,))]

    monkeypatch.setattr(AdversarialModel, "sample", by_heart)
    often = ["evaluation.every=2", "evaluation.metrics=[memorisation]", "steps=2"]
    assert alarms(tmp_path, *overrides, *often) == {"memorisation"}


def test_a_disk_that_takes_longer_than_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(dataset, "total_memory", lambda: 0)  # so images are read from the disk
    send = Stream._send

    def slowly(self: Stream, k: int) -> object:
        time.sleep(0.2)
        return send(self, k)

    monkeypatch.setattr(Stream, "_send", slowly)
    assert alarms(tmp_path, *images(tmp_path / "images"), "steps=25") == {"data_starvation"}
