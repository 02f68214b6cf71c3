"""`gan-train` as a user meets it: commands, exit statuses, run folders."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from documented import readme_files
from inprocess import gan_train

from gan_cli.commands import train
from gan_cli.config.command_line import prepare
from gan_cli.errors import ConfigError
from gan_cli.runs import checkpoint
from gan_cli.runs.folder import RunFolder

SMALL = ["network.width=8", "batch_size=8", "data.split=test", "runtime.threads=1"]
SMALL += ["runtime.device=cpu", "log_every=4", "sample_every=10"]


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """`gan-train` with these arguments, in another process."""
    return subprocess.Popen(
        [sys.executable, "-m", "gan_cli.commands.train", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def points(run: Path) -> list[dict[str, float]]:
    """The curves, without what clocks and the system say."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    timed = ("time", "speed/", "memory/")
    return [
        {name: v for name, v in json.loads(line).items() if not name.startswith(timed)}
        for line in lines
    ]


def weights(run: Path) -> dict[str, torch.Tensor]:
    state = checkpoint.load(run / "checkpoints" / "last.pt")
    return {**state["model"], **{f"ema {k}": v for k, v in state["averages"].items()}}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_leaves_all_that_the_readme_says(tmp_path: Path) -> None:
    said = gan_train("model=cgan", "data=mnist", "steps=10", *SMALL, cwd=tmp_path)
    (run,) = (tmp_path / "runs" / "cgan-mnist").iterdir()
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{8}", run.name)
    names = {path.name for path in run.iterdir()}
    assert {"config.yaml", "status.json", "train.log", "metrics.jsonl"} <= names
    (events,) = run.glob("events.out.tfevents.*")
    written = events.read_bytes()
    assert b"gan-train model=cgan data=mnist steps=10" in written
    assert b"main/loss/generator" in written
    assert b"learning_rate" not in written, "a constant needs no chart"
    (real,) = (tmp_path / "runs" / "real").iterdir()
    assert re.fullmatch("mnist-[0-9a-f]{4}", real.name)
    assert (run / "checkpoints" / "last.pt").exists()
    pictures = {path.name for path in (run / "samples").iterdir()}
    assert {"real-00000000.png", "classes-00000010.png", "fixed-00000010.png"} <= pictures
    assert RunFolder(run).read_status()["status"] == "finished"
    assert [point["step"] for point in points(run)] == [4, 8, 10]
    relative = run.relative_to(tmp_path)
    for hint in ("gan-board runs", f"gan-sample {relative}", f"resume={relative}"):
        assert hint in said
    assert "10 steps on 10,000 samples of mnist (1x28x28)" in said


@pytest.mark.slow
def test_20_steps_and_20_more_are_40(tmp_path: Path) -> None:
    """By `resume` and by the same command again, through an off-grid end of the curves."""
    common = ["model=wgan", *SMALL]
    gan_train(*common, "steps=40", "run.dir=straight", cwd=tmp_path)
    gan_train(*common, "steps=18", "run.dir=again", cwd=tmp_path)
    gan_train(*common, "steps=40", "run.dir=again", cwd=tmp_path)
    gan_train(*common, "steps=18", "run.dir=resumed", cwd=tmp_path)
    gan_train("resume=resumed", "steps=40", cwd=tmp_path)
    straight = tmp_path / "straight"
    for other in (tmp_path / "again", tmp_path / "resumed"):
        assert equal(weights(straight), weights(other))
        assert points(straight) == points(other)


def wait_for(condition, process: subprocess.Popen[str], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(tmp_path: Path, number: signal.Signals) -> None:
    process = start("model=gan", "steps=1000000", "run.dir=run", *SMALL, cwd=tmp_path)
    run = tmp_path / "run"
    wait_for(lambda: (run / "metrics.jsonl").exists() and points(run), process)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "gan-train resume=run" in err
    status = RunFolder(run).read_status()
    assert status["status"] == "interrupted"
    assert checkpoint.load(run / "checkpoints" / "last.pt")["step"] == status["step"] > 0


@pytest.mark.slow
def test_kill_9_is_seen_and_survived(tmp_path: Path) -> None:
    process = start(
        "model=gan", "steps=1000000", "run.dir=run", "checkpoint.every=5", *SMALL, cwd=tmp_path
    )
    run = tmp_path / "run"
    wait_for(lambda: (run / "checkpoints" / "last.pt").exists(), process)
    said = gan_train("resume=run", cwd=tmp_path, expect=2)
    assert "is in use by process" in said
    process.kill()
    process.communicate()
    assert RunFolder(run).read_status()["status"] == "killed"
    step = checkpoint.load(run / "checkpoints" / "last.pt")["step"]
    gan_train("resume=run", f"steps={step + 3}", cwd=tmp_path)
    found = [point["step"] for point in points(run)]
    assert found == sorted(set(found))
    assert found[-1] == step + 3


@pytest.mark.slow
def test_changed_settings_are_refused_with_a_list(tmp_path: Path) -> None:
    gan_train("model=gan", "steps=4", "run.dir=run", *SMALL, cwd=tmp_path)
    said = gan_train(
        "resume=run", "batch_size=9", "optimizer.lr=1e-3", "steps=8", cwd=tmp_path, expect=2
    )
    assert "batch_size: 8 in the run, 9 now" in said
    assert "optimizer.lr: 0.0002 in the run, 0.001 now" in said
    assert "steps" not in said.split("force=true")[0].split("settings differ")[1]
    gan_train("resume=run", "batch_size=9", "steps=8", "force=true", cwd=tmp_path)
    assert RunFolder(tmp_path / "run").read_status()["step"] == 8


@pytest.mark.slow
def test_changed_settings_are_those_of_the_run_s_own_model(tmp_path: Path) -> None:
    small = [text for text in SMALL if not text.startswith("network")]
    gan_train("model=mixture", "data=ring", "steps=4", "run.dir=run", *small[:1], cwd=tmp_path)
    said = gan_train("resume=run", "model.em_rate=1", "steps=8", cwd=tmp_path, expect=2)
    assert "model.em_rate: 0.7 in the run, 1 now" in said
    gan_train("resume=run", "model.em_rate=1", "steps=8", "force=true", cwd=tmp_path)
    assert RunFolder(tmp_path / "run").read_status()["step"] == 8


@pytest.mark.slow
def test_a_run_that_is_done_says_so(tmp_path: Path) -> None:
    gan_train("model=gan", "steps=4", "run.dir=run", *SMALL, cwd=tmp_path)
    before = points(tmp_path / "run")
    assert "has done its 4 steps" in gan_train("resume=run", cwd=tmp_path)
    assert points(tmp_path / "run") == before


def test_a_diverged_run_fails_with_one_line_and_saves_nothing_of_it(tmp_path: Path) -> None:
    said = gan_train(
        "model=gan",
        "steps=40",
        "run.dir=run",
        "optimizer=sgd",
        "optimizer.lr=1e30",
        *SMALL,
        cwd=tmp_path,
        expect=1,
    )
    assert "the run has diverged" in said
    run = tmp_path / "run"
    assert RunFolder(run).read_status()["status"] == "failed"
    assert "Traceback" in (run / "train.log").read_text()
    assert not (run / "checkpoints" / "last.pt").exists()


@pytest.mark.slow
def test_max_time_and_epochs(tmp_path: Path) -> None:
    said = gan_train("model=gan", "max_time=1s", "run.dir=run", *SMALL, cwd=tmp_path)
    assert "stopped by max_time" in said
    assert "gan-train resume=run" in said
    said = gan_train("model=wgan", "images=100", "dry_run=true", *SMALL, cwd=tmp_path)
    assert "critic" in said
    said = gan_train("model=wgan", "images=100", "run.dir=images", *SMALL, cwd=tmp_path)
    assert "finished at step 3 of 3" in said  # 3 steps of 5 batches of 8


def test_dry_run_trains_nothing(tmp_path: Path) -> None:
    said = gan_train("model=dcgan", "dry_run=true", "data.split=test", cwd=tmp_path)
    assert "generator: 887,680 parameters" in said
    assert "64x1x28x28" in said
    assert "about" in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_hydra_s_own_options_keep_working(tmp_path: Path) -> None:
    assert "_target_: gan_cli.models.gan.GAN" in gan_train("--cfg", "job", cwd=tmp_path)
    assert "conf" in gan_train("--info", "searchpath", cwd=tmp_path)
    assert "complete" in gan_train("-sc", "install=bash", cwd=tmp_path)
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_the_readme_s_own_gan(tmp_path: Path) -> None:
    files = readme_files()
    modules = {"my_gan.py", "my_callback.py"}
    nodes = ("model/mygan", "callbacks/losses", "experiment/mine")
    assert set(files) == {*modules, *(f"my_conf/{node}.yaml" for node in nodes)}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    own = ["--config-dir", "my_conf"]
    said = gan_train(
        *own,
        *("model=mygan", "data=mnist", "steps=4", "run.dir=run", "callbacks=[default,losses]"),
        *SMALL,
        cwd=tmp_path,
    )
    assert "gap" in points(tmp_path / "run")[0]
    assert (tmp_path / "run" / "generator.txt").read_text().startswith("4 ")
    assert "gan-sample run --trust my_gan" in said
    # The run folder's word is not enough ...
    said = gan_train("resume=run", "steps=8", cwd=tmp_path, expect=2)
    assert "--trust my_callback" in said
    # ... the user's is.
    trust = ("--trust", "my_gan", "--trust", "my_callback")
    gan_train(*trust, "resume=run", "steps=8", cwd=tmp_path)
    assert RunFolder(tmp_path / "run").read_status()["step"] == 8


@pytest.mark.slow
def test_a_run_folder_beside_the_user_s_config_provides_no_code(tmp_path: Path) -> None:
    """Neither by its place in the working directory nor by --config-dir."""
    gan_train("model=gan", "steps=4", "run.dir=evil", *SMALL, cwd=tmp_path)
    (tmp_path / "my_conf" / "model").mkdir(parents=True)
    (tmp_path / "evil" / "payload.py").write_text("open('owned', 'w').close()\nclass X: pass\n")
    path = tmp_path / "evil" / "checkpoints" / "last.pt"
    state = torch.load(path, weights_only=True)
    state["config"] = state["config"].replace("gan_cli.models.gan.GAN", "evil.payload.X")
    torch.save(state, path)
    own = ["--config-dir", "my_conf"]
    for options in ([], own, ["--trust", "evil", *own], ["run.root=/nowhere", *own]):
        gan_train("resume=evil", "steps=8", *options, cwd=tmp_path, expect=2)
        assert not (tmp_path / "owned").exists()


@pytest.mark.slow
def test_other_data_under_the_same_settings_is_noticed(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "images").mkdir()
    for shade in range(4):
        Image.new("L", (8, 8), 60 * shade).save(tmp_path / "images" / f"{shade}.png")
    small = [text for text in SMALL if "split" not in text]
    own = ["data=folder", "data.root=images", "data.size=8", "network=mlp", "model=gan", *small]
    gan_train(*own, "steps=2", "run.dir=run", cwd=tmp_path)
    Image.new("L", (8, 8), 9).save(tmp_path / "images" / "0.png")
    said = gan_train("resume=../run", "steps=4", cwd=tmp_path / "images", expect=2)
    assert "the data is not what the run began with: fingerprint was" in said


def test_several_runs_cannot_share_the_folder_of_a_job() -> None:
    line = prepare(["-m", "model=gan", "seed=1,2", "run.requeue=true"])
    with pytest.raises(ConfigError, match=r"run\.requeue = true: all runs of -m would share the"):
        train.refuse_one_folder_for_all(line)
    train.refuse_one_folder_for_all(prepare(["-m", "seed=1,2", "run.requeue=false"]))


@pytest.mark.slow
def test_several_runs_cannot_share_a_folder(tmp_path: Path) -> None:
    said = gan_train("-m", "model=gan", "seed=1,2", "run.dir=x", cwd=tmp_path, expect=2)
    assert "run.dir = x: all runs of -m would share it" in said
    said = gan_train("resume=x", "run.dir=y", cwd=tmp_path, expect=2)
    assert "resume = x: resumes in that folder, so run.dir cannot be chosen" in said


@pytest.mark.slow
def test_a_run_that_had_saved_nothing_begins_anew(tmp_path: Path) -> None:
    gan_train("model=gan", "steps=4", "run.dir=run", *SMALL, cwd=tmp_path)
    (tmp_path / "run" / "checkpoints" / "last.pt").unlink()
    said = gan_train("resume=run", cwd=tmp_path)
    assert "run: no state was saved, so training starts from step 0" in said
    assert [point["step"] for point in points(tmp_path / "run")] == [4]
