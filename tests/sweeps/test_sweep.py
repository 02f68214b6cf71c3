"""A sweep of stand-ins: its jobs, index, messages and end."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from waiting import wait_for

from gan_cli import files
from gan_cli.errors import CheckpointError, ConfigError, UserError
from gan_cli.exits import FAILED, RunFailedError, status_of
from gan_cli.formatting import counted
from gan_cli.jobs.processes import SpawnStarter
from gan_cli.runs.folder import RunFolder
from gan_cli.sweeps import launch
from gan_cli.sweeps.index import Index, locked
from gan_cli.sweeps.plan import SweepJob, job_name
from gan_cli.sweeps.scheduler import end_state

if TYPE_CHECKING:
    from conftest import Sweep  # type: ignore[attr-defined]


def runs(sweep: Sweep) -> list[RunFolder]:
    return [RunFolder(sweep.place / job["run"]) for job in sweep.index["jobs"]]


def when(condition: Callable[[], bool], act: Callable[[], None]) -> threading.Thread:
    """Do something in the middle of a sweep."""

    def wait() -> None:
        try:
            wait_for(condition)
        finally:
            act()  # so that what hangs ends

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def states_of_runs(sweep: Sweep) -> list[str]:
    if not (sweep.place / "sweep.json").exists():
        return []
    return [run.read_status()["status"] for run in runs(sweep)]


def test_all_jobs_are_run_and_indexed(sweep: Sweep) -> None:
    sweep.run("finish", "finish", "finish")
    assert sweep.index["state"] == "finished"
    assert sweep.index["command"] == "gan-train -m seed=1,2"
    assert sweep.index["keys"] == ["act", "seed"]
    for number, job in enumerate(sweep.index["jobs"]):
        assert job["overrides"] == ["act=finish", f"seed={number}"]
        assert (sweep.place / job["run"] / "status.json").exists()
        assert (job["state"], job["exit_status"], job["error"]) == ("finished", 0, None)
        assert job["started"] <= job["ended"]


def test_failures_are_reported_at_once_and_the_rest_continues(
    sweep: Sweep, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RunFailedError, match="2 jobs failed"):
        sweep.run("fail", "die", "finish", "finish")
    assert sweep.states == ["failed", "killed", "finished", "finished"]
    first, second, *_ = sweep.index["jobs"]
    assert (first["exit_status"], first["error"]) == (1, "it broke at step 10")
    assert second["exit_status"] == -signal.SIGKILL
    said = capfd.readouterr().err
    log = sweep.place / "logs" / f"{first['name']}.log"
    assert f"{first['name']}: failed: it broke at step 10 (see {log})" in said
    assert "killed by SIGKILL, as the operating system does where memory runs out" in said
    assert "2 of 4 jobs finished" in said
    assert "this never works" in log.read_text()


def test_again_finished_ones_are_skipped_failed_ones_left_and_new_ones_added(
    sweep: Sweep, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RunFailedError):
        sweep.run("finish", "fail")
    before = sweep.index["jobs"]
    with pytest.raises(RunFailedError):
        sweep.run("finish", "fail", "finish")
    assert sweep.index["jobs"][:2] == before
    assert sweep.states == ["finished", "failed", "finished"]
    said = capfd.readouterr().err
    assert "3 jobs, 2 of them done before" in said
    assert "1 failed before; sweep.retry_failed=true runs them again" in said
    with pytest.raises(RunFailedError):
        sweep.run("finish", "fail", retry_failed=True)
    assert sweep.index["jobs"][0] == before[0]
    assert runs(sweep)[1].read_status()["step"] == 20  # it went on from 10


def test_a_signal_stops_all_and_the_same_sweep_resumes(sweep: Sweep) -> None:
    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    both = ["running", "running", "unknown"]
    thread = when(lambda: states_of_runs(sweep) == both, interrupt)
    with pytest.raises(KeyboardInterrupt):
        sweep.run("hang", "hang", "hang")
    thread.join()
    assert states_of_runs(sweep) == ["interrupted", "interrupted", "unknown"]
    assert sweep.states == ["interrupted", "interrupted", "waiting"]
    assert sweep.index["state"] == "interrupted"
    thread = when(lambda: states_of_runs(sweep)[:2] == ["running", "running"], interrupt)
    with pytest.raises(KeyboardInterrupt):
        sweep.run("hang", "hang", "hang")
    thread.join()
    assert [run.read_status()["step"] for run in runs(sweep)] == [10, 10, None]


@pytest.mark.parametrize("part", ["logs/{}.log", "{}", "sub"])
def test_a_job_s_files_do_not_lead_out_of_the_sweep_s_folder(
    part: str, sweep: Sweep, tmp_path: Path
) -> None:
    name = job_name(["act=finish", "seed=0"], ["act", "seed"])
    outside, link = tmp_path / "outside", sweep.place / part.format(name)
    if "." not in part:
        outside.mkdir()
    if part == "sub":
        own = sweep.settings.run.model_copy(update={"dir": str(link / "run")})
        sweep.settings = sweep.settings.model_copy(update={"run": own})
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    with pytest.raises(CheckpointError, match=f"{link}: is a link, which would lead out of"):
        sweep.run("finish")
    assert not outside.is_file()
    assert not list(tmp_path.glob("outside/*"))


@pytest.mark.parametrize("acts", [("fail", "finish"), ("finish",)])
def test_a_full_disk_at_the_end_hides_no_results(
    acts: Sequence[str],
    sweep: Sweep,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    write = Index.write

    def refuse(index: Index, state: str, **more: Any) -> None:
        if state != "running":
            raise files.cannot_write(index.path, OSError(errno.ENOSPC, files.NO_ROOM))
        write(index, state, **more)

    monkeypatch.setattr(Index, "write", refuse)
    shown: list[int] = []
    monkeypatch.setattr(launch, "show_results", lambda runs, _: shown.append(len(runs)))
    failed = "fail" in acts
    with pytest.raises(RunFailedError if failed else UserError) as raised:
        sweep.run(*acts)
    assert status_of(raised.value) == FAILED
    said = capfd.readouterr().err
    assert shown == [len(acts)]
    assert f"1 of {counted(len(acts), 'job')} finished" in said
    assert ("failed; logs are in" in said) == failed
    message = f"sweep.json: cannot be written: {files.NO_ROOM}"
    assert message in (said if failed else str(raised.value))


@pytest.mark.parametrize("full", [False, True])
def test_a_sweep_that_breaks_off_is_not_running_for_ever(
    full: bool, sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, write = SpawnStarter.start, Index.write

    def broken(self: SpawnStarter, arguments: Sequence[str], *more: Any) -> object:
        if "act=finish" in arguments:
            wait_for(lambda: states_of_runs(sweep)[:1] == ["running"])
            raise AttributeError("module 'ray' has no attribute 'init'")
        return start(self, arguments, *more)

    def refuse(index: Index, state: str, **more: Any) -> None:
        if full and state != "running":
            raise files.cannot_write(index.path, OSError(errno.ENOSPC, files.NO_ROOM))
        write(index, state, **more)

    monkeypatch.setattr(SpawnStarter, "start", broken)
    monkeypatch.setattr(Index, "write", refuse)
    with pytest.raises(AttributeError, match="module 'ray'"):
        sweep.run("hang", "finish", "finish")
    if not full:
        assert sweep.index["state"] == "failed"
        assert sweep.states == ["interrupted", "waiting", "waiting"]


def test_a_second_sweep_in_the_folder_is_refused(sweep: Sweep) -> None:
    sweep.run("finish")
    before = sweep.index
    with locked(sweep.place), pytest.raises(CheckpointError, match=f"process {os.getpid()} on"):
        sweep.run("finish", "finish")
    assert sweep.index == before


def test_faults_of_any_job_are_found_before_the_first_one_starts(sweep: Sweep) -> None:
    sweep.wrong = {"seed=1": "prior.dim = 0: no", "act=finish": "bogus: unknown key"}
    with pytest.raises(ConfigError) as refused:
        sweep.run("finish", "finish")
    assert str(refused.value).splitlines() == [
        "bogus: unknown key",
        "prior.dim = 0: no (with act=finish seed=1)",
    ]
    assert not sweep.place.exists()


def test_a_job_that_is_asked_for_twice_is_run_once(
    sweep: Sweep, capfd: pytest.CaptureFixture[str]
) -> None:
    job = ["act=finish", "seed=1"]
    sweep.run("finish", jobs=[job, ["act=finish", "seed=2"], job])
    assert sweep.states == ["finished", "finished"]
    said = capfd.readouterr().err
    assert "act=finish seed=1: given more than once, and run once" in said
    assert "2 of 2 jobs finished" in said


def test_a_sweep_of_nothing_is_refused(sweep: Sweep) -> None:
    with pytest.raises(ConfigError, match="a setting has no value to try"):
        sweep.run()
    assert not sweep.place.exists()


def test_a_warning_that_seeds_trained_together_resume_apart(
    sweep: Sweep, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RunFailedError):
        sweep.run("fail", "fail")
    assert "rounding" not in capfd.readouterr().err
    first, second = runs(sweep)
    first.write_status("interrupted", 10, together=[0, 1])
    second.write_status("interrupted", 0, together=[0, 1])
    with pytest.raises(RunFailedError):
        sweep.run("fail", "fail")
    said = capfd.readouterr().err
    assert "1 job of a group trained together; each resumes by itself: equal up to rounding" in said


def test_a_dry_run_lists_the_jobs(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    sweep.run("finish")
    sweep.run("finish", "fail", dry_run=True)
    said = capsys.readouterr().out
    assert "2 jobs" in said
    assert "act=finish seed=0" in said
    assert "waiting" in said.splitlines()[-1]
    assert len(sweep.states) == 1


def test_without_its_index_a_sweep_finds_its_runs_by_their_folders(sweep: Sweep) -> None:
    sweep.run("finish")
    (sweep.place / "sweep.json").unlink()
    (path,) = sweep.place.glob("finish*")
    before = (path / "status.json").stat().st_mtime_ns
    sweep.run("finish")
    assert (path / "status.json").stat().st_mtime_ns == before
    assert sweep.states == ["finished"]


def test_a_damaged_index_is_named(sweep: Sweep) -> None:
    sweep.run("finish")
    (sweep.place / "sweep.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"sweep\.json: cannot be read"):
        sweep.run("finish")
    (sweep.place / "sweep.json").write_text(json.dumps({"version": 99, "jobs": []}))
    with pytest.raises(CheckpointError, match="newer gan-train"):
        sweep.run("finish")


def test_a_run_folder_of_one_s_own_must_be_each_job_s_own(sweep: Sweep, tmp_path: Path) -> None:
    shared = sweep.settings.run.model_copy(update={"dir": str(tmp_path / "x")})
    sweep.settings = sweep.settings.model_copy(update={"run": shared})
    with pytest.raises(ConfigError, match="x would be the folder of several jobs"):
        sweep.run("finish", "finish")
    sweep.run("finish")
    assert RunFolder(tmp_path / "x").read_status()["status"] == "finished"
    assert sweep.index["jobs"][0]["run"] == str(tmp_path / "x")


@pytest.mark.parametrize(
    ("said", "status", "alone", "asked", "state"),
    [
        ("interrupted", 1, True, True, "interrupted"),  # torchrun, after it was asked to stop
        ("interrupted", 1, True, False, "failed"),  # interrupted earlier, and failed now
        ("failed", 130, False, True, "failed"),  # another member of its group was interrupted
        ("interrupted", 1, False, False, "interrupted"),
    ],
)
def test_the_state_of_a_job_whose_process_has_ended(
    sweep: Sweep, tmp_path: Path, said: str, status: int, alone: bool, asked: bool, state: str
) -> None:
    run = RunFolder(tmp_path / "job")
    run.path.mkdir()
    run.write_status(said, 3, error="why")
    log = tmp_path / "log"
    log.write_text("the last word", encoding="utf-8")
    job = SweepJob("job", [], run.path, [], sweep.settings)
    assert end_state(job, status, log, alone, asked)[0] == state


@pytest.mark.parametrize(
    ("asked", "reason"),
    [(True, "killed before its state was saved"), (False, "as the operating system does")],
)
def test_a_job_killed_by_the_user_is_not_put_down_to_memory(
    sweep: Sweep, tmp_path: Path, asked: bool, reason: str
) -> None:
    job = SweepJob("job", [], tmp_path / "job", [], sweep.settings)
    state, error = end_state(job, -signal.SIGKILL, tmp_path / "log", alone=True, asked=asked)
    assert state == "killed"
    assert reason in str(error)
