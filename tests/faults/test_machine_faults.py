"""Runs on a machine that fails: each ends with one line and its status, and resumes exactly."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from inprocess import gan_train
from PIL import Image

from gan_cli.exits import FAILED, WRONG_INPUT
from gan_cli.runs import checkpoint
from gan_cli.runs.folder import RunFolder
from gan_cli.training.trainer import Trainer

pytestmark = pytest.mark.slow

SMALL = ["model=gan", "network=mlp", "network.width=32", "batch_size=8", "runtime.threads=1"]
SMALL += ["runtime.device=cpu", "runtime.precision=fp32", "callbacks=none", "log_every=2"]
SMALL += ["sample_every=null", "evaluation.every=null", "checkpoint.every=1", "steps=6"]
RING = [*SMALL, "data=ring", "data.points=64"]


def finished(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a run that has finished."""
    status = RunFolder(folder).read_status()
    assert (status["status"], status["step"], status["error"]) == ("finished", 6, None)
    return checkpoint.load(folder / "checkpoints" / "last.pt")["model"]


def assert_equal(folder: Path, other: Path) -> None:
    """Two runs have the same weights, bit for bit."""
    weights = finished(other)
    for name, value in finished(folder).items():
        assert torch.equal(value, weights[name]), name


class Disk:
    """A file system in memory.

    Args:
        path: where it is mounted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self._call("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(path))

    def remount(self, option: str) -> None:
        """Change its size, or whether it can be written."""
        self._call("mount", "-o", f"remount,{option}", str(self.path))

    def close(self) -> None:
        """Unmount it."""
        self._call("umount", "-l", str(self.path))

    def _call(self, *words: str) -> None:
        subprocess.run(words, check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    try:
        made = Disk(tmp_path / "disk")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root can mount a disk of its own")
    yield made
    made.close()


def test_a_disk_that_fills_up(tmp_path: Path, disk: Disk) -> None:
    keeping = [*RING, "checkpoint.keep=null"]
    gan_train(*keeping, "run.dir=straight", cwd=tmp_path)
    disk.remount("size=300k")
    said = gan_train(*keeping, "run.dir=disk/run", cwd=tmp_path, expect=FAILED)
    assert "cannot be written: No space left on device; make room" in said
    for path in (disk.path / "run" / "checkpoints").glob("*.pt"):
        checkpoint.load(path)  # none is broken
    disk.remount("size=64m")
    gan_train(*keeping, "run.dir=disk/run", cwd=tmp_path)
    assert_equal(disk.path / "run", tmp_path / "straight")
    assert not list((disk.path / "run").rglob(".*.tmp"))


def test_a_disk_that_is_read_only(tmp_path: Path, disk: Disk) -> None:
    gan_train(*RING, "run.dir=disk/run", "steps=3", cwd=tmp_path)
    disk.remount("ro")
    for place in ("run", "other"):
        said = gan_train(*RING, f"run.dir=disk/{place}", cwd=tmp_path, expect=FAILED)
        assert "cannot be written: Read-only file system" in said
    disk.remount("rw")
    gan_train(*RING, "run.dir=disk/run", cwd=tmp_path)
    gan_train(*RING, "run.dir=straight", cwd=tmp_path)
    assert_equal(disk.path / "run", tmp_path / "straight")


def test_a_process_without_further_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gan_train(*RING, "run.dir=straight", cwd=tmp_path)
    advance, limits = Trainer.advance, resource.getrlimit(resource.RLIMIT_NOFILE)

    def exhausted(trainer: Trainer, measure: bool = False) -> None:
        if trainer.step == 3:
            used = max(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208
            resource.setrlimit(resource.RLIMIT_NOFILE, (used, limits[1]))
            for number in range(used):  # what is free below it
                try:
                    taken.append(os.dup(number))
                except OSError:
                    continue
        advance(trainer, measure)

    taken: list[int] = []
    monkeypatch.setattr(Trainer, "advance", exhausted)
    try:
        said = gan_train(*RING, "run.dir=run", cwd=tmp_path, expect=FAILED)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for number in taken:
            os.close(number)
    assert "cannot be written: Too many open files" in said
    assert checkpoint.load(tmp_path / "run" / "checkpoints" / "last.pt")["step"] >= 3
    monkeypatch.undo()
    gan_train(*RING, "run.dir=run", cwd=tmp_path)
    assert_equal(tmp_path / "run", tmp_path / "straight")


def test_a_folder_of_images_that_vanishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_CLI_CACHE", str(tmp_path / "cache"))
    images = tmp_path / "images"
    images.mkdir()
    draws = np.random.default_rng(0)
    for number in range(8):
        pixels = draws.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{number}.png")
    folder = [*SMALL, "data=folder", f"data.root={images}", "data.size=8", "data.workers=1"]
    gan_train(*folder, "run.dir=straight", cwd=tmp_path)
    advance = Trainer.advance

    def vanishing(trainer: Trainer, measure: bool = False) -> None:
        if trainer.step == 2:
            shutil.move(images, tmp_path / "elsewhere")
        advance(trainer, measure)

    monkeypatch.setattr(Trainer, "advance", vanishing)
    gan_train(*folder, "run.dir=run", "steps=4", cwd=tmp_path)  # its pixels are in the cache
    said = gan_train(*folder, "run.dir=run", cwd=tmp_path, expect=WRONG_INPUT)
    assert f"{images}: " in said
    assert "no such" in said.lower()
    shutil.move(tmp_path / "elsewhere", images)
    monkeypatch.setattr(Trainer, "advance", advance)
    gan_train(*folder, "run.dir=run", cwd=tmp_path)
    assert_equal(tmp_path / "run", tmp_path / "straight")
