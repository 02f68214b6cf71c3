"""What a run that did not end as it should have is given when it is resumed."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import time
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch
from inprocess import call
from PIL import Image

from gan_cli.callbacks.loggers import MLflow
from gan_cli.commands.train import on_top_of_run
from gan_cli.config.command_line import prepare
from gan_cli.config.settings import composed
from gan_cli.errors import CheckpointError, ConfigError
from gan_cli.exits import DONE, INTERRUPTED
from gan_cli.runs import checkpoint
from gan_cli.runs.folder import RunFolder
from gan_cli.runs.load import load_model, wanted
from gan_cli.runs.record import read
from gan_cli.training import evaluator
from gan_cli.training.run import settings_of, train_settings

pytestmark = pytest.mark.slow

SMALL = ["model=gan", "data=ring", "data.points=64", "network.width=8", "network.depth=1"]
SMALL += ["prior.dim=2", "batch_size=8", "runtime.device=cpu", "runtime.threads=1", "log_every=4"]
SMALL += ["sample_every=3", "checkpoint.every=3", "film=false"]
EVALUATED = ["evaluation.every=3", "evaluation.samples=64", "evaluation.metrics=[points]"]


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def train(*arguments: str) -> int:
    """`gan-train` with these arguments."""
    line = on_top_of_run(prepare(list(arguments)))
    return train_settings(settings_of(composed(line), line), line)


def finished(*more: str) -> RunFolder:
    """A run of 6 steps."""
    assert train(*SMALL, "run.dir=run", "steps=6", *more) == DONE
    return RunFolder("run")


def steps(folder: Path) -> dict[str, int]:
    return {path.stem: checkpoint.load(path)["step"] for path in folder.glob("*.pt")}


def test_a_run_killed_after_its_last_checkpoint_is_completed(caplog) -> None:
    run = finished("film=auto")
    (run.samples / "points.gif").unlink()
    run.write_status("running", 6)
    with caplog.at_level(logging.INFO):
        assert train("resume=run") == DONE
    assert "run: its steps are done but it was not closed; completing it" in caplog.text
    assert run.read_status()["status"] == "finished"
    assert (run.samples / "points.gif").is_file()
    lines = run.metrics.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [4, 6]
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert train("resume=run") == DONE
    assert "run has done its 6 steps" in caplog.text


def test_a_run_whose_patience_was_at_its_end_is_completed() -> None:
    run = finished(*EVALUATED, "evaluation.patience=1", "optimizer.lr=1e-30", "ema.decay=0")
    assert (run.read_status()["status"], run.read_status()["step"]) == ("finished", 6)
    run.write_status("running", 6)
    assert train("resume=run", "steps=99") == DONE
    assert (run.read_status()["status"], run.read_status()["step"]) == ("finished", 6)


@pytest.mark.parametrize("damage", [b"", b"\x89PNG\r\n\x1a\n", b"half"])
def test_a_damaged_picture_does_not_make_a_complete_run_fail(damage: bytes, caplog) -> None:
    run = finished("film=auto", "sample_every=2")
    (run.samples / "points-00000002.png").write_bytes(damage)
    run.write_status("running", 6)
    assert train("resume=run") == DONE
    assert run.read_status()["status"] == "finished"
    told = "points-00000002.png: is not an intact picture, so the animation skips it"
    assert told in caplog.text
    assert (run.samples / "points.gif").is_file()


@pytest.mark.parametrize("more", [[], ["sample_every=4"]])
def test_a_damaged_picture_of_the_step_gone_on_from_is_drawn_again(more: list[str], caplog) -> None:
    run = finished(*more)
    picture = run.samples / "points-00000006.png"
    before = picture.read_bytes()
    picture.write_bytes(b"")
    run.write_status("running", 6)
    with caplog.at_level(logging.INFO):
        assert train("resume=run") == DONE
    assert picture.read_bytes() == before
    assert f"{picture}: was damaged, so it is drawn again" in caplog.text


def test_lost_links_are_made_again() -> None:
    run = finished(*EVALUATED)
    best = run.read_status()["best"]["step"]
    expected = steps(run.checkpoints)
    assert expected == {"last": 6, "step_00000003": 3, "step_00000006": 6, "best": best}
    (run.checkpoints / "best.pt").unlink()
    (run.checkpoints / "step_00000006.pt").unlink()
    run.write_status("running", 6)
    assert train("resume=run", "steps=8") == DONE
    assert steps(run.checkpoints) == {**expected, "last": 8}


@pytest.mark.parametrize("damage", [None, b"half"])
def test_the_links_of_a_finished_run_are_made_again(damage: bytes | None, caplog) -> None:
    run = finished(*EVALUATED)
    expected = steps(run.checkpoints)
    (run.checkpoints / "best.pt").unlink()
    last = run.checkpoints / "last.pt"
    last.unlink()
    if damage is not None:
        last.write_bytes(damage)
    with caplog.at_level(logging.INFO):
        assert train("resume=run") == DONE
    assert "run has done its 6 steps" in caplog.text
    assert steps(run.checkpoints) == expected


def test_an_old_best_link_is_made_that_of_the_state() -> None:
    run = finished(*EVALUATED)
    best = run.read_status()["best"]["step"]
    other = run.checkpoints / f"step_{9 - best:08d}.pt"
    (run.checkpoints / "best.pt").unlink()
    shutil.copy(other, run.checkpoints / "best.pt")
    assert train("resume=run", "steps=7") == DONE
    assert steps(run.checkpoints)["best"] == best


def test_a_best_step_without_a_checkpoint_is_forgotten(caplog) -> None:
    run = finished(*EVALUATED, "checkpoint.keep=1")
    state = checkpoint.load(run.checkpoints / "last.pt")
    state["evaluation"]["best"] |= {"step": 5, "value": -1.0}
    checkpoint.save(run.checkpoints, state, 6, keep_step=False, keep=0)
    assert train("resume=run", "steps=9") == DONE
    assert "the checkpoint of the best step" in caplog.text
    assert steps(run.checkpoints)["best"] == run.read_status()["best"]["step"] == 9


def test_a_run_killed_before_it_kept_its_settings_begins_anew() -> None:
    run = finished()
    points = run.metrics.read_text().count("\n")
    shutil.rmtree(run.checkpoints)
    run.config.unlink()
    with pytest.raises(CheckpointError, match=r"start it again with its settings and run\.dir=run"):
        train("resume=run")
    assert finished().read_config()
    assert run.metrics.read_text().count("\n") == points


def test_what_killed_writers_left_is_removed_at_the_next_start() -> None:
    run = finished()
    left = [run.path / ".status.json.ab.tmp", run.checkpoints / ".last.pt.ab.tmp"]
    left += [run.samples / ".grid.png.ab.tmp", run.evaluations / ".step_1.json.ab.tmp"]
    run.evaluations.mkdir(exist_ok=True)
    an_hour_ago = time.time() - 3600
    for path in left:
        path.touch()
        os.utime(path, (an_hour_ago, an_hour_ago))
    being_drawn = run.samples / ".now.png.ab.tmp"
    being_drawn.touch()
    assert train("resume=run", "steps=7") == DONE
    assert [path for path in left if path.exists()] == []
    assert being_drawn.exists()


def test_a_run_stopped_during_its_last_evaluation_is_not_finished(monkeypatch) -> None:
    def stopped(subject, choice):
        if subject.step == 6:
            os.kill(os.getpid(), signal.SIGINT)
            subject.truth.pause()
        return evaluate(subject, choice)

    evaluate = evaluator.evaluate
    monkeypatch.setattr(evaluator, "evaluate", stopped)
    assert train(*SMALL, *EVALUATED, "run.dir=run", "steps=6") == INTERRUPTED
    run = RunFolder("run")
    assert run.read_status()["status"] == "interrupted"
    monkeypatch.setattr(evaluator, "evaluate", evaluate)
    assert train("resume=run") == DONE
    assert run.read_status()["status"] == "finished"
    assert (run.evaluations / "step_00000006.json").is_file()


def pictures(folder: str, shades: tuple[int, ...] = (0, 60, 120, 180)) -> None:
    """Pictures of one shade each."""
    Path(folder).mkdir(exist_ok=True)
    for number, shade in enumerate(shades):
        Image.new("L", (8, 8), shade).save(f"{folder}/{number}.png")


FOLDER = ["model=gan", "data=folder", "data.root=images", "data.size=8", "data.workers=1"]
FOLDER += ["network=mlp", "film=false", *(word for word in SMALL if word.startswith("network."))]
FOLDER += ["batch_size=4", "runtime.device=cpu", "runtime.threads=1", "run.dir=run"]


def test_force_counts_for_one_command(caplog) -> None:
    pictures("images")
    assert train(*FOLDER, "steps=1", "force=true") == DONE
    assert "force: false" in RunFolder("run").config.read_text()
    pictures("images", (9, 60, 120, 180))
    refused = r"resume = run: the data is not what the run began with: fingerprint was"
    with pytest.raises(ConfigError, match=refused):
        train("resume=run", "steps=2")
    assert train("resume=run", "steps=2", "force=true") == DONE
    assert "resuming with other data than the run began with: fingerprint was" in caplog.text
    pictures("images", (8, 60, 120, 180))
    with pytest.raises(ConfigError, match=refused):
        train("resume=run", "steps=3")


def test_force_of_an_earlier_program_s_run_does_not_stick() -> None:
    pictures("images")
    assert train(*FOLDER, "steps=1") == DONE
    folder = RunFolder("run").checkpoints
    state = checkpoint.load(folder / "last.pt")
    state["config"] = state["config"].replace("force: false", "force: true")
    checkpoint.save(folder, state, 1, keep_step=False, keep=1)
    pictures("images", (9, 60, 120, 180))
    with pytest.raises(ConfigError, match="the data is not what the run began with: fingerprint"):
        train("resume=run", "steps=2")


def test_a_run_of_a_program_without_settings_of_memory_resumes() -> None:
    """Its config has neither `accumulate` nor `runtime.oom`."""
    folder = finished().checkpoints
    state = checkpoint.load(folder / "last.pt")
    lines = state["config"].splitlines(keepends=True)
    known = ("accumulate:", "oom:")
    state["config"] = "".join(line for line in lines if not line.strip().startswith(known))
    assert state["config"] != "".join(lines)
    checkpoint.save(folder, state, 1, keep_step=False, keep=1)
    assert train("resume=run", "steps=8", "runtime.oom=shrink") == 0
    assert steps(folder)["last"] == 8


def test_a_data_folder_may_move_and_hold_what_is_no_image() -> None:
    pictures("images")
    assert train(*FOLDER, "steps=1") == DONE
    Path("images").rename("elsewhere")
    Path("elsewhere/notes.txt").write_text("nothing")
    assert train("resume=run", "steps=2", "data.root=elsewhere") == DONE
    assert f"root: {Path('elsewhere').absolute()}" in RunFolder("run").config.read_text()
    assert train("resume=run", "steps=3") == DONE


def test_a_run_of_an_earlier_program_whose_checkpoint_says_less_of_the_data_is_resumed() -> None:
    run = finished()
    state = checkpoint.load(run.checkpoints / "last.pt")
    state["data"].pop("class_counts")
    checkpoint.save(run.checkpoints, state, 6, keep_step=False, keep=1)
    assert train("resume=run", "steps=7") == DONE


def test_an_edited_config_is_told_and_does_not_count(caplog) -> None:
    run = finished()
    text = run.config.read_text()
    run.config.write_text(text.replace("batch_size: 8", "batch_size: 9"))
    assert train("resume=run", "steps=7") == DONE
    told = "run/config.yaml: differs from the run's checkpoint, whose settings are used: "
    assert f"{told}batch_size is 9 there, 8 in the checkpoint; change settings" in caplog.text
    assert "batch_size: 8" in run.config.read_text()
    caplog.clear()
    assert train("resume=run", "steps=8") == DONE
    assert "config.yaml" not in caplog.text
    run.config.write_text("[broken")
    assert train("resume=run", "steps=9") == DONE
    assert "the settings in the run's checkpoint are used" in caplog.text


def curves(run: RunFolder) -> list[dict[str, float]]:
    """Without what clocks and the system say."""
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    clocks = ("time", "speed/", "memory/")
    return [{k: v for k, v in line.items() if not k.startswith(clocks)} for line in lines]


def test_a_named_checkpoint_is_where_a_new_run_branches_off() -> None:
    run = finished(*EVALUATED)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    file = "run/checkpoints/step_00000003.pt"
    assert train(f"resume={file}", "run.dir=branch") == DONE
    other = RunFolder("branch")
    assert {path: path.read_bytes() for path in before} == before
    assert curves(other) == curves(run)
    assert steps(other.checkpoints) == steps(run.checkpoints)
    for name in ("samples", "evaluations"):
        mine, theirs = (sorted(p.name for p in (r.path / name).glob("[!.]*")) for r in (other, run))
        assert mine == theirs
    last, straight = (checkpoint.load(r.checkpoints / "last.pt") for r in (other, run))
    assert all(torch.equal(last["model"][k], straight["model"][k]) for k in straight["model"])
    status = json.loads(other.status.read_text())
    assert (status["status"], status["step"], status["branched_from"]) == ("finished", 6, file)
    assert train("resume=branch", "steps=7") == DONE
    assert train(f"resume={file}", "batch_size=9", "force=true", "run.name=mine") == DONE
    mine = read(RunFolder("runs/mine"))
    assert (mine.step, mine.history) == (6, "batch_size=8 before step 3")
    assert read(other).history == ""  # as it differs in nothing from the run


def test_a_forced_resume_is_recorded_with_its_step_and_the_settings_before_it() -> None:
    run = finished()
    assert train("resume=run", "steps=7", "batch_size=9", "force=true") == DONE
    assert train("resume=run", "steps=9") == DONE
    assert run.read_status()["forced"] == [{"step": 6, "before": ["batch_size=8"]}]
    assert train("resume=run/checkpoints/step_00000003.pt", "run.dir=early") == DONE
    assert read(RunFolder("early")).history == ""
    assert train("resume=run/checkpoints/step_00000009.pt", "run.dir=late", "steps=10") == DONE
    assert read(RunFolder("late")).history == "batch_size=8 before step 6"


def test_a_branch_makes_no_folder_for_a_dry_run_and_takes_none_that_is_taken() -> None:
    finished()
    file = "run/checkpoints/step_00000003.pt"
    assert train(f"resume={file}", "dry_run=true") == DONE
    assert not Path("runs").exists()
    with pytest.raises(ConfigError, match=r"run\.dir = run: holds a run already"):
        train(f"resume={file}", "run.dir=run")
    with pytest.raises(ConfigError, match="batch_size: 8 in the run, 9 now"):
        train(f"resume={file}", "batch_size=9")
    with pytest.raises(CheckpointError, match=r"step_00000004\.pt: no such checkpoint; available"):
        train("resume=run/checkpoints/step_00000004.pt")


@pytest.mark.parametrize("name", ["samples", "evaluations"])
def test_a_branch_copies_nothing_through_a_link(name: str, tmp_path: Path) -> None:
    run = finished()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret-00000001.png").write_text("secret")
    shutil.rmtree(run.path / name, ignore_errors=True)
    (run.path / name).symlink_to(outside)
    with pytest.raises(CheckpointError, match=f"run/{name}: is a link, which would lead out of"):
        train("resume=run/checkpoints/step_00000003.pt", "run.dir=branch")
    assert not Path("branch").exists()


def test_a_branch_takes_pictures_and_figures_alone() -> None:
    run = finished()
    run.evaluations.mkdir(exist_ok=True)
    (run.path / "id").write_text("secret")
    for path in (run.samples / "a-00000001.txt", run.evaluations / "a-00000001.json"):
        path.write_text("secret")
    (run.samples / "key-00000001.png").symlink_to(run.path / "id")
    (run.samples / "fine-00000001.png").write_bytes(b"")
    assert train("resume=run/checkpoints/step_00000003.pt", "run.dir=branch") == DONE
    assert {p.name for p in Path("branch").rglob("*-00000001.*")} == {"fine-00000001.png"}


def test_the_last_checkpoint_by_name_goes_on_in_its_run() -> None:
    run = finished()
    assert train("resume=run/checkpoints/last.pt", "steps=7") == DONE
    assert run.read_status()["step"] == 7


def test_a_branch_killed_before_it_had_its_state_does_not_begin_anew() -> None:
    finished()
    assert train("resume=run/checkpoints/step_00000003.pt", "run.dir=branch") == DONE
    shutil.rmtree("branch/checkpoints")
    with pytest.raises(CheckpointError, match=r"branch: ended before the state of run/checkpoints"):
        train("resume=branch")


@pytest.mark.parametrize("name", ["step_00000003.pt", "last.pt"])
def test_the_checkpoint_that_is_named_is_the_one_that_is_loaded(name: str) -> None:
    run = finished()
    place, which = wanted(f"run/checkpoints/{name}", None)
    assert place.path.samefile(run.path)
    assert load_model(place, which, device="cpu").step == (6 if name == "last.pt" else 3)
    with pytest.raises(ConfigError, match=r"--checkpoint best: run/checkpoints/.* is a checkpoint"):
        wanted(f"run/checkpoints/{name}", "best")
    with pytest.raises(CheckpointError, match="no such checkpoint; available: last, 3, 6"):
        wanted("run/checkpoints/step_00000007.pt", None)
    assert load_model(*wanted("run/checkpoints", "3"), device="cpu").step == 3


def test_a_job_that_is_queued_again_resumes_its_run(tmp_path: Path) -> None:
    job = {"cwd": tmp_path, "SLURM_JOB_ID": "99"}
    line = ["model=gan", "data=ring", "network=mlp", "network.width=8", "batch_size=8"]
    line += ["runtime.threads=1", "runtime.device=cpu", "callbacks=none", "run.requeue=true"]
    first = call(*line, "max_time=0.001s", "steps=6", **job)  # the time limit of a cluster
    assert first.returncode == 0
    run = RunFolder(tmp_path / "runs" / "gan-ring" / "job-99")
    assert run.read_status()["step"] == 1
    again = call(*line, "steps=6", **job)
    assert "step 1 to 6" in again.stderr + again.stdout
    assert run.read_status()["status"] == "finished"


@pytest.mark.parametrize("config", ["x: 1", "runtime: x", "model: x", "optimizer: [1]", "steps: x"])
def test_a_checkpoint_with_a_config_that_is_none_is_one_line(config: str) -> None:
    assert train(*SMALL, "steps=1", "run.dir=run") == DONE
    folder = RunFolder("run").checkpoints
    state = checkpoint.load(folder / "last.pt")
    key = config.partition(":")[0]
    lines = re.sub(rf"^{key}:.*(\n .*)*\n", "", state["config"], flags=re.MULTILINE)
    state["config"] = f"{lines}{config}\n" if key != "x" else config
    checkpoint.save(folder, state, 1, keep_step=False, keep=1)
    with pytest.raises(CheckpointError, match=r"^run: (its|the run's) config "):
        train("resume=run", "steps=2")


def test_a_run_does_not_choose_where_it_is_sent(monkeypatch, caplog) -> None:
    """Its config may be a stranger's; what the command names counts, and the user's own place."""
    sent = []
    found = ModuleSpec("mlflow", None, origin="installed")
    monkeypatch.setattr("gan_cli.callbacks.callback.find_spec", lambda package: found)
    for hook in ("scalars", "picture", "text", "end"):
        monkeypatch.setattr(MLflow, hook, lambda *_: None)
    monkeypatch.setattr(MLflow, "start", lambda self, step: sent.append(self.uri))
    place = "callbacks.mlflow.uri=http://there:5000"
    finished("callbacks=[mlflow]", place)
    assert train("resume=run", "steps=7") == DONE
    assert train("resume=run", "steps=8", "callbacks.mlflow.experiment=mine") == DONE
    assert sent == ["http://there:5000"]
    assert (
        "callbacks.mlflow.uri = http://there:5000: the run's choice of where to send its curves "
        "and settings, so mlflow is left out; add 'callbacks.mlflow.uri="
    ) in caplog.text
    assert train("resume=run", "steps=9", place) == DONE
    assert train("resume=run", "steps=10", "callbacks=[mlflow]") == DONE
    caplog.clear()
    assert train("resume=run", "steps=11") == DONE
    assert sent[1:] == ["http://there:5000", None, None]
    assert "left out" not in caplog.text


@pytest.mark.parametrize("wish", ["+optimizer.amsgrad=true", "optimizer=rmsprop"])
def test_what_an_optimizer_lacks_is_said_before_anything_is_written(wish: str) -> None:
    run = finished()
    before = run.config.read_bytes(), run.metrics.read_bytes()
    with pytest.raises(ConfigError, match=r"^optimizer.*leave it as it was, which force=true can"):
        train("resume=run", "steps=8", wish, "force=true")
    assert (run.config.read_bytes(), run.metrics.read_bytes()) == before


@pytest.mark.parametrize(
    ("length", "said"),
    [("epochs=1", "epochs = 1: comes to 4 steps"), ("images=80", "images = 80: comes to 5 steps")],
)
def test_a_length_that_is_over_already_is_refused(length: str, said: str) -> None:
    run = finished("batch_size=16")  # of 64 samples
    with pytest.raises(ConfigError, match=f"^{said}, and 6 are done already in run; set more "):
        train("resume=run", length)
    assert train("resume=run", length, "force=true") == DONE
    assert run.read_status()["step"] == 6
    assert train("resume=run", "epochs=2") == DONE
    assert run.read_status()["step"] == 8
