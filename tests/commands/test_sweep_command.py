"""`gan-train -m` as a user meets it, with real trainings."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from inprocess import gan_train as in_process
from test_train import start
from waiting import PATIENCE, wait_for

from gan_cli.commands.train import compose
from gan_cli.errors import ConfigError
from gan_cli.runs import checkpoint
from gan_cli.runs.folder import RunFolder

TOY = ["model=gan", "data=ring", "batch_size=8", "network.width=8", "runtime.device=cpu"]


def gan_train(*arguments: str, cwd: Path, expect: int = 0) -> str:
    """Run to the end; what it wrote on stderr and stdout."""
    process = start(*arguments, cwd=cwd)
    out, err = process.communicate(timeout=600)
    assert process.returncode == expect, err
    assert "Traceback" not in err
    return err + out


def index(folder: Path) -> list[dict[str, object]]:
    return json.loads((folder / "sweep.json").read_text(encoding="utf-8"))["jobs"]


@pytest.mark.slow
def test_a_sweep_goes_on_to_its_end_whatever_becomes_of_a_job(tmp_path: Path) -> None:
    common = [*TOY, "optimizer=sgd", "steps=4", "log_every=2", "sweep.dir=all"]
    said = gan_train("-m", *common, "optimizer.lr=1e-3,1e30", cwd=tmp_path, expect=1)
    assert "1 of 2 jobs finished" in said
    assert "the run has diverged" in said
    said = gan_train("-m", *common, "optimizer.lr=1e-3,1e30,1e-4", cwd=tmp_path, expect=1)
    assert "3 jobs, 2 of them done before" in said
    jobs = index(tmp_path / "all")
    assert [job["state"] for job in jobs] == ["finished", "failed", "finished"]
    for job in (jobs[0], jobs[2]):
        run = RunFolder(tmp_path / "all" / str(job["run"]))
        assert run.read_status()["step"] == 4
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_sigterm_saves_all_and_leaves_no_process(tmp_path: Path, way: str) -> None:
    options = [f"hydra.launcher.fork={str(way == 'fork').lower()}", "hydra.launcher.n_jobs=2"]
    options.append("runtime.together=false")
    sweep = ["-m", *TOY, "seed=1,2", "steps=1000000", "log_every=5", "sweep.dir=all", *options]
    process = start(*sweep, cwd=tmp_path)
    curves = "all/seed*/metrics.jsonl"

    def both_have_a_point() -> bool:
        return sum(path.stat().st_size > 0 for path in tmp_path.glob(curves)) == 2

    wait_for(lambda: both_have_a_point() or process.poll() is not None)
    runs = [RunFolder(path.parent) for path in tmp_path.glob(curves)]
    pids = [run.read_status()["pid"] for run in runs]
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, said
    assert "the same command resumes" in said
    assert len(runs) == 2
    for run, pid in zip(runs, pids, strict=True):
        status = run.read_status()
        assert status["status"] == "interrupted"
        assert checkpoint.load(run.checkpoints / "last.pt")["step"] == status["step"] > 0
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.slow
def test_seeds_of_points_are_trained_in_one_process(tmp_path: Path) -> None:
    common = [*TOY, "steps=6", "log_every=2", "sweep.dir=all", "hydra.launcher.n_jobs=1"]
    gan_train("-m", *common, "seed=range(1,4)", cwd=tmp_path)
    jobs = index(tmp_path / "all")
    assert [job["state"] for job in jobs] == ["finished"] * 3
    runs = [RunFolder(tmp_path / "all" / str(job["run"])) for job in jobs]
    assert len({run.read_status()["pid"] for run in runs}) == 1
    losses = [json.loads(run.metrics.read_text().splitlines()[-1]) for run in runs]
    assert [point["step"] for point in losses] == [6] * 3
    assert len({point["loss/generator"] for point in losses}) == 3


def test_faults_are_told_before_anything_starts(tmp_path: Path) -> None:
    said = in_process("-m", *TOY, "seed=1,2", "prior.dim=3,0", cwd=tmp_path, expect=2)
    assert "prior.dim = 0" in said
    assert "(with seed=1 prior.dim=0 and 1 more)" in said
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_lists_jobs_and_makes_nothing(tmp_path: Path) -> None:
    said = in_process("-m", *TOY, "seed=range(3)", "dry_run=true", cwd=tmp_path)
    assert said.count("waiting") == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["seed=range(0,0)"], "seed = range(0,0): has no value, so there is nothing to run"),
        (["model=glob(xyz*)", "seed=1,2"], "model = glob(xyz*): fits none of aae, acgan"),
        (["hydra/launcher=basic", "seed=range(3,1)"], "seed = range(3,1): has no value, so there"),
        (["optimizer.lr=interval(0,1)"], "optimizer.lr = interval(0,1): -m needs single values"),
    ],
)
def test_a_sweep_without_jobs_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["gan-train"])
    with pytest.raises(ConfigError) as refused:
        compose(["-m", *TOY[1:], *values])
    assert str(refused.value).startswith(message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_values_that_are_equal_are_one_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["gan-train"])
    equal = ["seed=1,1", "model=gan,gan", "optimizer.lr=1e-3,0.001"]
    assert compose(["-m", *TOY[1:], *equal, "dry_run=true"]) == 0
    said = capsys.readouterr()
    assert "1 job" in said.out
    assert "seed=1 model=gan optimizer.lr=0.001: given more than once" in said.err
    own = ["hydra/launcher=basic", "runtime.threads=1", "steps=1"]
    assert compose(["-m", *TOY[1:], *equal, *own, "run.root=here"]) == 0
    assert len(list(Path("here").glob("*/*/status.json"))) == 1
    assert "steps=1 run.root=here: given more" in capsys.readouterr().err
