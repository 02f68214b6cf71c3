"""The table of a sweep's jobs: jobs done before, steps, and the metric shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from run_folders import write_run

from gan_cli.runs.folder import FAILED, FINISHED, RUNNING, RunFolder
from gan_cli.sweeps.board import JobProgress, LiveBoard
from gan_cli.sweeps.index import WAITING, JobEntry

if TYPE_CHECKING:
    from conftest import Sweep  # type: ignore[attr-defined]


def job(folder: Path, state: str, better: str = "lower", **metrics: float) -> Path:
    """A run that keeps its best checkpoint by the first of the metrics."""
    run = RunFolder(folder)
    run.path.mkdir()
    best = None
    if metrics:
        name, value = next(iter(metrics.items()))
        best = {"figure": name, "better": better, "value": value, "step": 40}
    run.write_status(state, 40, steps=50, best=best)
    point = {"step": 40, "speed/images_per_second": 640, "speed/seconds_per_step": 1.0}
    point |= {f"metrics/{name}": value for name, value in metrics.items()}
    run.metrics.write_text(json.dumps(point) + "\n")
    return run.path


def lines(states: dict[str, str], runs: dict[str, Path]) -> list[list[str]]:
    """The cells of a board's table, heads first."""
    entries = {name: JobEntry(name, [], name, state=state) for name, state in states.items()}
    screen = Console(width=140)
    with screen.capture() as shown:
        screen.print(LiveBoard(entries, runs).table(20))
    rows = [line for line in shown.get().splitlines() if line[:1] in "│┃"]
    return [[cell.strip() for cell in row.replace("┃", "│").split("│")[1:-1]] for row in rows]


def test_jobs_done_before_show_how_they_ended(tmp_path: Path) -> None:
    runs = {
        "a": job(tmp_path / "a", FINISHED, fid=3.0),
        "b": job(tmp_path / "b", FAILED, fid=2.0),
        "c": tmp_path / "c",
    }
    states = {"a": FINISHED, "b": FAILED, "c": WAITING}
    assert lines(states, runs) == [
        ["job", "state", "step", "samples/s", "fid", "left"],
        ["b", "failed", "40 of 50", "640", "2", ""],
        ["c", "waiting", "", "", "", ""],
        ["a", "finished", "40 of 50", "640", "3", ""],
    ]


def test_the_column_of_the_metric_holds_one_metric_best_first(tmp_path: Path) -> None:
    runs = {
        "a": job(tmp_path / "a", FINISHED, better="higher", modes=3.0, kid=1.0),
        "b": job(tmp_path / "b", FINISHED, kid=2.0, modes=7.0),
        "c": job(tmp_path / "c", RUNNING, better="higher", modes=8.0),
        "d": job(tmp_path / "d", FINISHED, better="higher", modes=5.0),
        "e": job(tmp_path / "e", FINISHED, kid=0.1),
    }
    states = dict.fromkeys("abde", FINISHED) | {"c": RUNNING}
    heads, *rows = lines(states, runs)
    assert heads[4] == "modes"
    assert [(row[0], row[4]) for row in rows] == [
        ("c", "8"),  # runs
        ("b", "7"),
        ("d", "5"),
        ("a", "3"),
        ("e", ""),  # whose metric is another
    ]
    assert rows[0][5] == "10 s"


def test_a_step_stays_until_there_is_a_new_point(tmp_path: Path) -> None:
    progress = JobProgress(job(tmp_path / "a", RUNNING))
    progress.run.write_status(RUNNING, 0, steps=50)
    progress.update()
    progress.update()
    assert progress.cells(None) == ["40 of 50", "640", "", "10 s"]


def test_at_the_end_a_table_of_the_results_stays(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    """Best first, mean and standard deviation over seeds, and the command for the report."""
    jobs = [[f"model={model}", f"seed={seed}"] for model in ("gan", "wgan") for seed in (1, 2, 3)]
    values = dict(zip(map(tuple, jobs), (5.0, 6.0, 7.0, 1.0, 2.0, 4.0), strict=True))
    sweep.run(jobs=jobs, swept=["model", "seed"])
    for entry in sweep.index["jobs"]:
        model, seed = entry["overrides"]
        overrides = () if model == "model=gan" else (model,)
        made = write_run(
            sweep.place / "made",
            "model=gan",
            *overrides,
            seed=int(seed[-1]),
            values={20: values[model, seed]},
        )
        for name in ("config.yaml", "metrics.jsonl", "evaluations"):
            (made.path / name).rename(sweep.place / entry["run"] / name)
        shutil.rmtree(made.path)
    capsys.readouterr()
    sweep.run(jobs=jobs, swept=["model", "seed"])  # all is done already
    shown = capsys.readouterr().err
    rows = [line.split() for line in shown.splitlines()]
    (first,) = (place for place, row in enumerate(rows) if row[:1] == ["wgan"])
    # 1, 2 and 4: mean 7/3, standard deviation 1.53; 5, 6 and 7: 6 and 1
    assert rows[first][1:6] == ["3", "20", "2.3", "±", "1.5"]
    assert rows[first + 1][:6] == ["gan", "3", "20", "6.0", "±", "1.0"]
    assert "mean ± standard deviation over seeds" in shown
    assert f"report    gan-report {sweep.place}\n" in shown
    assert "6 of 6 jobs finished" in shown


def test_runs_without_metrics_come_with_the_command_that_evaluates_them(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep.run("finish", "finish")
    for entry in sweep.index["jobs"]:
        checkpoints = sweep.place / entry["run"] / "checkpoints"
        checkpoints.mkdir()
        (checkpoints / "last.pt").touch()
    capsys.readouterr()
    sweep.run("finish", "finish")
    shown = capsys.readouterr().err
    assert "To evaluate them, run this:" in shown
    assert f"gan-eval {sweep.place}/finish-" in shown
