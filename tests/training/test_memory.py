"""Steps for which there is not enough memory, for which a layer that takes few samples stands."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from inprocess import gan_train
from torch import Tensor, nn

from gan_cli.exits import one_line, out_of_memory
from gan_cli.runs import checkpoint
from gan_cli.runs.folder import RunFolder
from gan_cli.training.trainer import Trainer

RING = ["model=gan", "data=ring", "data.points=256", "network=mlp", "network.width=8"]
RING += ["batch_size=32", "runtime.threads=1", "runtime.device=cpu", "runtime.precision=fp32"]
RING += ["callbacks=none", "steps=6", "log_every=2", "checkpoint.every=2", "sample_every=null"]
RING += ["evaluation.every=null", "run.dir=run"]


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """From step 4 on no layer takes more than 16 samples; D sees real and made ones together."""
    forward, advance = nn.Linear.forward, Trainer.advance
    tight = False

    def limited(layer: nn.Linear, values: Tensor) -> Tensor:
        if tight and len(values) > 16:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(layer, values)

    def step(trainer: Trainer, measure: bool = False) -> None:
        nonlocal tight
        tight = trainer.step >= 3
        advance(trainer, measure)

    monkeypatch.setattr(nn.Linear, "forward", limited)
    monkeypatch.setattr(Trainer, "advance", step)


def weights(folder: Path) -> dict[str, Tensor]:
    return checkpoint.load(folder / "run" / "checkpoints" / "last.pt")["model"]


def test_a_run_goes_on_in_parts_that_fit(tmp_path: Path, full: None) -> None:
    said = gan_train(*RING, "runtime.oom=shrink", cwd=tmp_path)
    assert "step 4 had not enough memory; continuing from step 2 with accumulate=2" in said
    assert "continuing from step 2 with accumulate=4, parts of 8 samples" in said
    run = RunFolder(tmp_path / "run")
    status = run.read_status()
    assert (status["status"], status["step"], status["error"]) == ("finished", 6, None)
    assert yaml.safe_load(run.config.read_text())["accumulate"] == 4
    again = gan_train(*RING, "runtime.oom=shrink", cwd=tmp_path)
    assert "run has done its 6 steps" in again  # the same command knows the run
    refused = gan_train(*RING, cwd=tmp_path, expect=2)
    assert "accumulate: 4 in the run, 1 now" in refused


def test_with_the_same_result(tmp_path: Path, full: None, monkeypatch: pytest.MonkeyPatch) -> None:
    gan_train(*RING, "runtime.oom=shrink", cwd=tmp_path)
    divided = weights(tmp_path)
    monkeypatch.undo()
    (tmp_path / "whole").mkdir()
    gan_train(*RING, cwd=tmp_path / "whole")
    for name, value in weights(tmp_path / "whole").items():
        torch.testing.assert_close(divided[name], value, rtol=1e-4, atol=1e-5)


def test_without_it_the_run_stops_with_advice(tmp_path: Path, full: None) -> None:
    said = gan_train(*RING, cwd=tmp_path, expect=1)
    assert "the GPU's memory is full; accumulate=2, a smaller batch_size" in said
    assert (
        "runtime.oom=shrink or accumulate=2 may fit, with equal results; or batch_size=16" in said
    )
    assert RunFolder(tmp_path / "run").read_status()["status"] == "failed"


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["network.generator_norm=batch"], "batch norm would take its statistics of each part"),
        (["loss=softmax"], "needs"),
    ],
)
def test_what_cannot_be_divided_stops_with_a_batch_size(
    tmp_path: Path, full: None, overrides: list[str], reason: str
) -> None:
    said = gan_train(*RING, "runtime.oom=shrink", *overrides, cwd=tmp_path, expect=1)
    line = next(line for line in said.splitlines() if "cannot be computed in more parts" in line)
    assert reason in line
    assert line.endswith("try batch_size=16")


def test_what_counts_as_no_memory() -> None:
    allocator = "[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory"
    for error in (MemoryError(), torch.OutOfMemoryError("x"), RuntimeError(allocator)):
        assert out_of_memory(error)
        assert "memory" in one_line(error)
    assert not out_of_memory(RuntimeError("shapes differ"))
