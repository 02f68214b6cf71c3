"""gan-watch: when it ends, and the states of a sweep's jobs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from filelock import FileLock
from rich.console import Console
from run_folders import write_run

from gan_cli.commands import report
from gan_cli.commands.report import findings
from gan_cli.errors import CheckpointError
from gan_cli.reporting.terminal import sweeps, watch
from gan_cli.runs.record import Gatherer


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_index(folder: Path, state: str, *jobs: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = {"version": 1, "state": state, "jobs": [{"state": job} for job in jobs]}
    (folder / "sweep.json").write_text(json.dumps(content))


@pytest.mark.parametrize("place", ["runs/sweeps/a", "runs"])
def test_watching_goes_on_while_jobs_of_a_sweep_wait(capsys, place: str) -> None:
    folder = Path("runs/sweeps/a")
    write_index(folder, "running", "waiting", "waiting")
    looks = 0

    def wait(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 1:  # no job had begun
            write_run(folder / "one", values={40: 1.0})
            write_index(folder, "running", "finished", "waiting")
        elif looks == 2:  # between two jobs no run is running
            write_run(folder / "two", values={40: 2.0}, seed=2)
            write_index(folder, "finished", "finished", "finished")

    options = report.parser().parse_args([place])
    gatherer = Gatherer([place])
    look = lambda: findings(options, gatherer())  # noqa: E731
    with FileLock(folder / ".lock"):
        watch(Console(width=150), look, 0.0, wait, lambda: sweeps([place]))
    assert looks == 2
    shown = capsys.readouterr().out
    assert re.search(r"dcgan +2 +40", shown)  # two runs, step 40
    assert "runs/sweeps/a: 2 jobs: 2 finished; it has ended" in shown


def test_a_sweep_whose_process_is_gone_is_not_waited_for(capsys) -> None:
    folder = Path("runs/sweeps/a")
    write_run(folder / "one", values={40: 1.0})
    write_index(folder, "running", "finished", "waiting")
    (folder / ".lock").touch()
    with pytest.raises(SystemExit) as end:
        report.watch(["runs/sweeps/a"])
    assert end.value.code == 0
    assert "2 jobs: 1 finished, 1 waiting; it has ended" in capsys.readouterr().out


def test_neither_run_nor_sweep_is_an_error() -> None:
    Path("runs").mkdir()
    with pytest.raises(CheckpointError, match="is not a run folder"):
        watch(Console(), lambda: findings(report.parser().parse_args([]), Gatherer([])()), 0.0)


@pytest.mark.parametrize("content", ["", "[]", '{"jobs": 1}', '{"jobs": [1]}', "[" * 10_000])
def test_a_damaged_index_hides_no_runs(capsys, content: str) -> None:
    write_run(Path("runs/a"), values={40: 1.0})
    Path("runs/sweep.json").write_text(content)
    with pytest.raises(SystemExit) as end:
        report.watch([])
    assert end.value.code == 0
    assert "How good is dcgan on ring?" in capsys.readouterr().out


def test_states_of_jobs_are_the_known_ones(capsys) -> None:
    write_run(Path("runs/a"), values={40: 1.0})
    write_index(Path("runs"), "finished", "finished", "[red]\x1b[31mdone", "waiting")
    with pytest.raises(SystemExit):
        report.watch([])
    assert "3 jobs: 1 finished, 1 unknown, 1 waiting; it has ended" in capsys.readouterr().out
