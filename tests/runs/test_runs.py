"""Run folders: made without collision, found again, entered by one, honest about how they stand."""

import errno
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from run_folders import write_run

from gan_cli.console import FileHandler
from gan_cli.errors import CheckpointError, ConfigError, UserError
from gan_cli.evaluation.metric import Plot
from gan_cli.evaluation.report import Report
from gan_cli.evaluation.report import write as write_evaluation
from gan_cli.files import AppendedFile
from gan_cli.managing.listing import write_tags
from gan_cli.runs import folder as runs
from gan_cli.runs.folder import RunFolder

NOON = datetime(2025, 6, 1, 12, 0, 0)  # local time, as in folder names


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def make(config: str = "seed: 0\n", **more) -> RunFolder:
    return runs.create(config, **{"model": "dcgan", "data": "mnist", "now": NOON, **more})


def test_name_holds_model_data_time_and_config():
    run = make()
    assert run.path == Path("runs/dcgan-mnist/20250601-120000-6a5a163c")
    assert run.read_config() == "seed: 0\n"
    assert run.checkpoints.is_dir()
    assert run.samples.is_dir()
    assert make("seed: 1\n").path.name[:16] == run.path.name[:16]
    assert make("seed: 1\n").path.name[16:] != run.path.name[16:]


def test_same_second_same_config_gives_separate_folders():
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: make().path.name, range(24)))
    name = "20250601-120000-6a5a163c"
    assert sorted(made) == sorted([name, *(f"{name}-{i}" for i in range(2, 25))])


def test_two_processes_in_the_same_second_do_not_collide():
    code = (
        "import sys; from datetime import datetime; from gan_cli.runs import folder\n"
        "sys.stdin.read(1)\n"
        "for _ in range(20): print(folder.create('a', model='m', data='d',"
        " now=datetime(2025, 6, 1)).path)"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in both:
        assert process.stdin
        process.stdin.write("go")
        process.stdin.flush()
    lines = "".join(process.communicate()[0] for process in both).split()
    assert len(lines) == len(set(lines)) == 40


def test_odd_names_stay_one_folder():
    run = make(model="../my/gan", data="a b" + "x" * 300)
    assert run.path.parent.parent == Path("runs")
    assert run.path.parent.name.startswith("my-gan-a-bxxx")


def test_given_folder_and_given_name():
    assert make(folder="here/now").path == Path("here/now")
    assert make(name="first").path == Path("runs/first")
    assert make(name="a/b", root="elsewhere").path == Path("elsewhere/a/b")


@pytest.mark.parametrize("name", ["", " ", "/abs", "../up", "a/../../b"])
def test_name_must_stay_below_the_root(name):
    with pytest.raises(ConfigError, match=r"^run\.name = .*a name below runs is required"):
        make(name=name)


@pytest.mark.parametrize("where", [{"name": "first"}, {"folder": "runs/first"}])
def test_taken_folder_is_refused_with_a_hint_how_to_resume(where):
    make("old", **where)
    with pytest.raises(ConfigError, match=r"holds a run already; resume=runs/first resumes it"):
        make("new", **where)
    assert RunFolder("runs/first").read_config() == "old"


def test_a_folder_of_other_runs_or_files_is_refused():
    run = make()
    with pytest.raises(ConfigError, match=r"run\.name = dcgan-mnist: holds other runs, such as "):
        make(name="dcgan-mnist")
    Path("mine").mkdir()
    Path("mine/config.yaml").write_text("precious")
    with pytest.raises(ConfigError, match=r"run\.dir = mine: holds config\.yaml but no run"):
        make(folder="mine")
    assert Path("mine/config.yaml").read_text() == "precious"
    assert run.read_config() == "seed: 0\n"


def test_existing_folder_with_unrelated_files_is_used():
    Path("job").mkdir()
    Path("job/slurm.out").write_text("hello")
    assert make(folder="job").read_config() == "seed: 0\n"


def test_status_keeps_what_is_not_given_and_dates_are_utc():
    run = make()
    with run.lock():
        run.write_status("running", 0, steps=100)
        first = run.read_status()
        run.write_status("failed", 7, error="disk full", best={"fid": 3.0})
        assert run.read_status()["error"] == "disk full"
        run.write_status("running", 8)
        status = run.read_status()
    assert (first["best"], first["error"]) == (None, None)
    assert (status["status"], status["step"], status["steps"]) == ("running", 8, 100)
    assert (status["best"], status["error"]) == ({"fid": 3.0}, None)
    assert (status["pid"], status["started"]) == (os.getpid(), first["started"])
    age = datetime.now(UTC) - datetime.fromisoformat(status["updated"])
    assert abs(age.total_seconds()) < 60


def test_running_without_anybody_inside_reads_as_killed():
    run = make()
    assert run.read_status()["status"] == "killed"
    with run.lock():
        assert run.read_status()["status"] == "running"
    run.write_status("finished", 5)
    assert run.read_status()["status"] == "finished"


def test_missing_and_damaged_status():
    run = make()
    run.status.write_text('{"status": "runn')
    with pytest.raises(CheckpointError, match=r"status\.json: cannot be read .*; remove it"):
        run.read_status()
    run.status.write_text("[]")
    with pytest.raises(CheckpointError, match=r"is not a run's status"):
        run.read_status()
    run.status.unlink()
    assert run.read_status() == {"status": "unknown", "step": None}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"together": 5}, "together = 5: must be list or null"),
        ({"saved": "x"}, "saved = x: must be int or null"),
        ({"saved": -1}, "saved = -1: must not be negative"),
        ({"branched_from": [1]}, "branched_from = \\[1\\]: must be str or null"),
    ],
)
def test_a_status_with_values_of_another_type_is_refused(more, message):
    run = make()
    run.write_status("running", 3, **more)
    with pytest.raises(CheckpointError, match=rf"status\.json: {message}; remove it"):
        run.read_status()


HOLD = (
    "import sys, time; from gan_cli.runs.folder import RunFolder\n"
    "run = RunFolder(sys.argv[1])\n"
    "with run.lock():\n"
    "    run.write_status('running', 3)\n"
    "    print('in', flush=True); time.sleep(60)"
)


def test_a_folder_in_use_is_not_entered_and_kill_9_frees_it():
    run = make()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout
    try:
        assert holder.stdout.readline() == "in\n"
        assert run.read_status()["status"] == "running"
        with (
            pytest.raises(CheckpointError, match=rf"is in use by process {holder.pid} on .*; wait"),
            run.lock(),
        ):
            pytest.fail("two are in one folder")
        assert run.in_use()
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    assert run.read_status()["status"] == "killed"
    with run.lock():
        assert run.in_use()
        with pytest.raises(CheckpointError, match=r"is in use; wait or stop it"), run.lock():
            pytest.fail("two are in one folder")
        run.write_status("finished", 3)  # this process lives, but that run is over
        with pytest.raises(CheckpointError, match=r"is in use; wait or stop it"), run.lock():
            pytest.fail("two are in one folder")
    assert not run.in_use()


def test_one_of_two_fighting_processes_wins():
    run = make()
    code = (
        "import sys\n"
        "from gan_cli.runs.folder import RunFolder; from gan_cli.errors import *\n"
        "print('up', flush=True); sys.stdin.read(1)\n"
        "try:\n"
        "    with RunFolder(sys.argv[1]).lock(): print('won', flush=True); sys.stdin.read(1)\n"
        "except CheckpointError: print('lost', flush=True)"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(run.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        for process in both:
            assert process.stdout
            assert process.stdout.readline() == "up\n"
        for process in both:
            assert process.stdin
            process.stdin.write("g")
            process.stdin.flush()
        # The winner holds the lock until the other has tried.
        said = sorted(p.stdout.readline().strip() for p in both if p.stdout)
        assert said == ["lost", "won"]
    finally:
        for process in both:
            process.communicate("g")


def test_a_look_does_not_keep_a_run_from_starting():
    run = make()
    with ThreadPoolExecutor(1) as pool:
        looks = pool.submit(lambda: [run.in_use() for _ in range(300)])
        for _ in range(30):
            with run.lock():
                pass
        assert len(looks.result()) == 300


def refuse(number: int):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    return fail


def test_read_only_root_is_one_line(monkeypatch):
    monkeypatch.setattr(Path, "mkdir", refuse(errno.EROFS))
    for where in ({}, {"name": "a"}):
        with pytest.raises(UserError, match=r"runs/.*: cannot be written: Read-only file system"):
            make(**where)


def test_full_disk_keeps_the_old_status(monkeypatch):
    run = make()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse(errno.ENOSPC))
        with pytest.raises(UserError, match=r"status\.json: cannot be written: No space left"):
            run.write_status("running", 9)
        with pytest.raises(UserError, match=r"status\.json: cannot be written: No space left"):
            make("another")
    assert run.read_status()["step"] == 0
    assert not list(run.path.glob(".*.tmp"))
    assert list(run.path.parent.iterdir()) == [run.path]  # no half-made run beside it


def test_root_that_is_a_file_is_one_line():
    Path("runs").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        make()


def test_a_run_of_checkpoints_alone_is_a_run():
    Path("copied/checkpoints").mkdir(parents=True)
    Path("copied/checkpoints/step_00000100.pt").write_bytes(b"")
    assert runs.is_run(Path("copied"))
    run = RunFolder("copied")
    assert run.read_config() is None
    assert run.read_status()["status"] == "unknown"


NAMES = ["config.yaml", "status.json", "train.log", "metrics.jsonl", ".lock"]
NAMES += ["checkpoints", "samples", "evaluations"]


@pytest.mark.parametrize("name", NAMES)
def test_whoever_writes_into_a_run_refuses_links_that_lead_out_of_it(name, tmp_path):
    run = write_run(tmp_path / "run", "model=gan")
    outside = tmp_path / "outside"
    inside = run.path / name
    if inside.is_dir():
        inside.rename(outside)
    else:
        outside.write_text("precious")
        inside.unlink(missing_ok=True)
    inside.symlink_to(outside)
    before = sorted(tmp_path.rglob("*"))
    reason = f"run/{re.escape(name)}: is a link, which would lead out of "
    with pytest.raises(CheckpointError, match=reason), run.lock():
        pass
    with pytest.raises(CheckpointError, match=reason):
        write_tags(run, ["x"])
    report = Report(str(run.path), 40, "ema", [], pictures=[Plot("x", np.zeros((1, 1, 1)))])
    with pytest.raises(CheckpointError, match=reason):
        write_evaluation(report, run)
    assert sorted(tmp_path.rglob("*")) == before
    assert outside.is_dir() or outside.read_text() == "precious"


def test_nothing_is_appended_through_a_link_or_to_a_pipe(tmp_path):
    (tmp_path / "precious").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(UserError, match=f"{name}: cannot be written"):
            AppendedFile(tmp_path / name)
        with pytest.raises(UserError, match=f"{name}: cannot be written"):
            FileHandler(tmp_path / name)
    assert (tmp_path / "precious").read_text() == "x"


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"SLURM_JOB_ID": "4711"}, "job-4711"),
        ({"LSB_JOBID": "12", "LSB_JOBINDEX": "3"}, "job-12-3"),
        ({"LSB_JOBID": "12", "LSB_JOBINDEX": "0"}, "job-12"),  # no array
        ({"JOB_ID": "5", "SGE_TASK_ID": "undefined"}, "job-5"),
        ({"PBS_JOBID": "77[2].head"}, "job-77-2-.head"),
    ],
)
def test_the_folder_of_a_schedulers_job(environment: dict[str, str], name: str) -> None:
    assert runs.of_job("runs", "gan", "ring", environment) == Path("runs/gan-ring") / name


def test_no_scheduler() -> None:
    with pytest.raises(ConfigError, match=r"run\.requeue = true: no scheduler runs this process"):
        runs.of_job("runs", "gan", "ring", {})
