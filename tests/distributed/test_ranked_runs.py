"""Runs of several ranks from the command line: folder, end and resuming."""

from __future__ import annotations

import json
import os
import signal
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from together import command, ended, start
from waiting import wait_for

from gan_cli.exits import DONE, FAILED, INTERRUPTED, WRONG_INPUT

TOY = [
    *("model=gan", "data=ring", "network.width=8", "batch_size=8", "runtime.device=cpu"),
    *("optimizer=sgd", "log_every=5", "run.dir=run", "evaluation.samples=100"),
]
LONG = [*TOY, "steps=1000000", "sample_every=1000000"]


def said(folder: Path, rank: int) -> str:
    return (folder / f"said-{rank}.txt").read_text()


def points(folder: Path) -> list[dict[str, float]]:
    path = folder / "run" / "metrics.jsonl"
    return [json.loads(row) for row in path.read_text().splitlines()] if path.exists() else []


def under_way(folder: Path, processes: list[BaseProcess], step: int) -> None:
    """Wait until `step` is in the curves."""

    def reached() -> bool:
        assert all(process.is_alive() for process in processes), said(folder, 0)
        return any(point["step"] >= step for point in points(folder))

    wait_for(reached)


def status(folder: Path) -> dict[str, object]:
    return json.loads((folder / "run" / "status.json").read_text())


def curve(folder: Path, name: str) -> dict[int, float]:
    return {int(p["step"]): p[name] for p in points(folder) if name in p}


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 steps of one process."""
    folder = tmp_path_factory.mktemp("straight")
    assert ended(start(1, command, folder, *TOY, "steps=20", "evaluation.every=10")) == [DONE]
    return folder


@pytest.mark.slow
def test_a_run_goes_on_with_any_number_of_ranks(straight: Path, tmp_path: Path) -> None:
    evaluated = [*TOY, "evaluation.every=10"]
    assert ended(start(2, command, tmp_path, *evaluated, "steps=7")) == [DONE, DONE]
    assert said(tmp_path, 1) == ""
    assert "2 ranks" in said(tmp_path, 0)
    assert ended(start(1, command, tmp_path, "resume=run", "steps=12")) == [DONE]
    assert ended(start(2, command, tmp_path, "resume=run", "steps=20")) == [DONE, DONE]
    assert len(list((tmp_path / "run").glob("events.out.*"))) == 3
    for name in ("loss/generator", "loss/discriminator", "weight_norm/generator"):
        one, several = curve(straight, name), curve(tmp_path, name)
        assert several.keys() == {5, 10, 15, 20}
        for step, value in several.items():
            assert value == pytest.approx(one[step], rel=1e-4), (name, step)
    assert {p["step"] for p in points(tmp_path) if any("metrics/" in key for key in p)} == {
        *(0, 10, 20)
    }
    states = [
        torch.load(folder / "run/checkpoints/last.pt", weights_only=True)["model"]
        for folder in (straight, tmp_path)
    ]
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_a_signal_to_one_rank_stops_all_at_the_same_step(tmp_path: Path) -> None:
    processes = start(2, command, tmp_path, *LONG)
    under_way(tmp_path, processes, 5)
    assert processes[1].pid is not None
    os.kill(processes[1].pid, signal.SIGTERM)
    assert ended(processes) == [INTERRUPTED, INTERRUPTED]
    assert status(tmp_path)["status"] == "interrupted"
    assert "stopped by SIGTERM" in said(tmp_path, 0)
    saved = torch.load(tmp_path / "run/checkpoints/last.pt", weights_only=True)
    assert saved["step"] == status(tmp_path)["step"]


@pytest.mark.slow
def test_a_lost_rank_ends_the_others(tmp_path: Path) -> None:
    processes = start(2, command, tmp_path, *LONG)
    under_way(tmp_path, processes, 5)
    processes[1].kill()
    assert ended(processes) == [FAILED, -signal.SIGKILL]
    assert "rank 1 is lost" in said(tmp_path, 0)
    assert "rank 1 is lost" in str(status(tmp_path)["error"])


def test_a_wrong_batch_size_is_told_once(tmp_path: Path) -> None:
    processes = start(2, command, tmp_path, *TOY, "batch_size=6", "model.packing=2")
    assert ended(processes) == [WRONG_INPUT, WRONG_INPUT]
    assert "must be a multiple of 4; set batch_size=8" in said(tmp_path, 0)
    assert said(tmp_path, 1) == ""
    assert not (tmp_path / "run").exists()
