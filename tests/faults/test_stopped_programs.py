"""Signals to whole programs: the exit status, the saved state, and no process left."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from waiting import wait_for

from gan_cli.exits import INTERRUPTED
from gan_cli.runs import checkpoint
from gan_cli.runs.folder import RunFolder, below
from gan_cli.signals import STOPS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's /proc"),
]

LONG = ["model=gan", "data=ring", "data.points=64", "network=mlp", "network.width=8"]
LONG += ["batch_size=8", "runtime.threads=1", "runtime.device=cpu", "steps=1000000"]
LONG += ["log_every=10", "sample_every=null", "evaluation.every=null", "checkpoint.every=null"]


def started(folder: Path, *more: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "gan_cli", "train", *LONG, *more]
    return subprocess.Popen(line, cwd=folder, stderr=subprocess.PIPE, text=True)


def children(pid: int) -> list[int]:
    """All that a process has started, and these in turn."""
    found = [pid]
    for parent in found:
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, path.read_text().split())
    return found[1:]


def trains(run: Path) -> bool:
    return (run / "metrics.jsonl").exists() and (run / "metrics.jsonl").stat().st_size > 0


def assert_saved(run: RunFolder) -> None:
    """Its state is that of the step at which it stopped, just after its last point."""
    status = run.read_status()
    assert status["status"] == "interrupted"
    state = checkpoint.load(run.checkpoints / "last.pt")
    assert state["step"] == status["saved"] == status["step"]
    last = json.loads(run.metrics.read_text().splitlines()[-1])["step"]
    assert last <= status["step"] < last + 10


def assert_gone(pids: Sequence[int]) -> None:
    wait_for(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()])


@pytest.mark.parametrize("number", STOPS)
def test_a_training_saves_its_state(tmp_path: Path, number: signal.Signals) -> None:
    process = started(tmp_path, "run.dir=run")
    wait_for(lambda: trains(tmp_path / "run") or process.poll() is not None)
    pids = children(process.pid)
    process.send_signal(number)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == INTERRUPTED, said
    assert f"stopped by {number.name}" in said
    assert_saved(RunFolder(tmp_path / "run"))
    assert_gone(pids)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_sweep_saves_the_states_of_its_jobs(tmp_path: Path, number: signal.Signals) -> None:
    jobs = ["-m", "optimizer.lr=1e-3,2e-3", "sweep.dir=sweep", "hydra.launcher.n_jobs=2"]
    process = started(tmp_path, *jobs)

    def both() -> bool:
        return sum(map(trains, below(tmp_path / "sweep"))) == 2

    wait_for(lambda: both() or process.poll() is not None)
    pids = children(process.pid)
    assert len(pids) >= 2
    process.send_signal(number)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == INTERRUPTED, said
    for path in below(tmp_path / "sweep"):
        assert_saved(RunFolder(path))
    assert_gone(pids)
    index = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    assert [job["state"] for job in index["jobs"]] == ["interrupted"] * 2
