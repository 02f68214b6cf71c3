"""Both ways of starting processes: exit statuses, logs, environments and signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import wait_for

from gan_cli.errors import UserError
from gan_cli.jobs.fork_server import ForkStarter, possible
from gan_cli.jobs.processes import Process, SpawnStarter, Starter
from gan_cli.runs.folder import RunFolder

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
pytestmark = pytest.mark.skipif(not possible(), reason="only Linux has PR_SET_PDEATHSIG")


@pytest.fixture(params=["spawn", "fork"])
def starter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Starter]:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{TESTS}")
    one = SpawnStarter("standin") if request.param == "spawn" else ForkStarter("standin:main", ())
    yield one
    one.close()


def ended(process: Process) -> int:
    wait_for(lambda: process.poll() is not None)
    status = process.poll()
    assert status is not None
    return status


def test_statuses_logs_and_environments_come_back(starter: Starter, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    marked = {**os.environ, "MARK": "here", "OMP_NUM_THREADS": "3"}
    assert ended(starter.start(["act=report"], log, marked)) == 0
    first, told = log.read_text().splitlines()
    assert first == "before"
    assert json.loads(told)["MARK"] == "here"
    assert json.loads(told)["OMP_NUM_THREADS"] == "3"


def test_no_log_is_made_through_a_link(starter: Starter, tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "outside")
    with pytest.raises(UserError, match="log: cannot be written: is a link"):
        starter.start(["act=finish"], tmp_path / "log", os.environ)
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize(("act", "status"), [("finish", 0), ("fail", 1), ("die", -9)])
def test_how_it_ended(starter: Starter, tmp_path: Path, act: str, status: int) -> None:
    run = f"run.dir={tmp_path / 'run'}"
    assert ended(starter.start([run, f"act={act}"], tmp_path / "log", os.environ)) == status


def test_one_that_is_asked_to_stop_saves(starter: Starter, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    arguments = [f"run.dir={run.path}", "act=hang"]
    process = starter.start(arguments, tmp_path / "log", os.environ)
    wait_for(lambda: run.read_status()["status"] == "running")
    process.send(signal.SIGTERM)
    assert ended(process) == 130
    assert run.read_status()["status"] == "interrupted"
    process.send(signal.SIGKILL)  # nothing, and no error


def test_a_log_that_cannot_be_written_is_named(starter: Starter, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none/log: cannot be written"):
        starter.start([], tmp_path / "none" / "log", os.environ)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_a_cluster_s_warning_does_not_end_the_fork_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{TESTS}")
    starter, run = ForkStarter("standin:main", ()), RunFolder(tmp_path / "run")
    process = starter.start([f"run.dir={run.path}", "act=hang"], tmp_path / "log", os.environ)
    wait_for(lambda: run.read_status()["status"] == "running")
    assert starter.server is not None
    os.kill(starter.server.pid, number)
    process.send(signal.SIGTERM)  # from the launcher, which gets the warning too
    assert ended(process) == 130
    process = starter.start([f"run.dir={tmp_path / 'second'}"], tmp_path / "log", os.environ)
    assert ended(process) == 0
    starter.close()


def test_a_stop_before_a_job_has_begun_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow.py").write_text(
        "import os, time\nfrom standin import main\n\nbefore = os.setsid\n"
        "os.setsid = lambda: (time.sleep(0.5), before())\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{TESTS}:{tmp_path}")
    starter = ForkStarter("slow:main", ())
    jobs = [
        starter.start(
            [f"run.dir={tmp_path / str(k)}", "act=hang"], tmp_path / f"{k}.log", os.environ
        )
        for k in range(2)
    ]
    jobs[0].send(signal.SIGTERM)  # before the server has imported anything
    assert ended(jobs[0]) == -signal.SIGTERM
    assert jobs[1].poll() is None  # the server did not take it for its own
    jobs[1].send(signal.SIGKILL)
    assert ended(jobs[1]) == -signal.SIGKILL
    starter.close()


LAUNCHER = """
import os, signal, sys
from pathlib import Path
from gan_cli.jobs.fork_server import ForkStarter
from gan_cli.jobs.processes import SpawnStarter
starter = SpawnStarter("standin") if sys.argv[1] == "spawn" else ForkStarter("standin:main", ())
place = Path(sys.argv[2])
starter.start([f"run.dir={place / 'run'}", "act=hang"], place / "log", os.environ)
signal.pause()
"""


@pytest.mark.parametrize("way", ["spawn", "fork"])
def test_nothing_is_left_when_the_starter_is_killed(tmp_path: Path, way: str) -> None:
    run = RunFolder(tmp_path / "run")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{TESTS}"}
    launcher = subprocess.Popen([sys.executable, "-c", LAUNCHER, way, tmp_path], env=environment)
    wait_for(lambda: run.read_status()["status"] == "running")
    launcher.kill()
    launcher.wait()
    wait_for(lambda: run.read_status()["status"] == "interrupted")


def test_when_the_fork_server_is_killed_its_jobs_are_lost_and_others_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{TESTS}")
    starter, run = ForkStarter("standin:main", ()), RunFolder(tmp_path / "run")
    process = starter.start([f"run.dir={run.path}", "act=hang"], tmp_path / "log", os.environ)
    wait_for(lambda: run.read_status()["status"] == "running")
    assert starter.server is not None
    starter.server.kill()
    assert ended(process) == -9
    wait_for(lambda: run.read_status()["status"] == "interrupted")
    again = starter.start([f"run.dir={run.path}"], tmp_path / "log", os.environ)
    assert ended(again) == 0
    starter.close()
