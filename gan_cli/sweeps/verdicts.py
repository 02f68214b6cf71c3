"""How a job ended, from its process's exit status and from what its run folder says."""

from __future__ import annotations

import signal
from pathlib import Path

from gan_cli.errors import CheckpointError
from gan_cli.exits import DONE, INTERRUPTED
from gan_cli.jobs.processes import last_line
from gan_cli.runs import folder as runs
from gan_cli.runs.folder import RunFolder
from gan_cli.signals import STOPS
from gan_cli.sweeps.planning import Job


def verdict(
    job: Job, status: int, log: Path, alone: bool, asked: bool = False
) -> tuple[str, str | None]:
    """The state in which a process of that exit status left a job, and the reason where it failed.

    `alone`: the process ran no other job, so that its status is the job's. `asked`: all jobs had
    been asked to stop, which torchrun answers with the status of a failure.
    """
    try:
        said = RunFolder(job.run).read_status()
    except CheckpointError as error:
        said = {"status": runs.UNKNOWN, "error": str(error)}
    if status == DONE or (not alone and said["status"] == runs.FINISHED):
        return runs.FINISHED, None
    if -status in STOPS:  # before it could listen
        return runs.INTERRUPTED, None
    if status < 0:
        if said["status"] in (runs.INTERRUPTED, runs.FAILED) and not alone:
            return said["status"], said.get("error")
        return runs.KILLED, ended_unsaved(-status, asked)
    if not alone and said["status"] == runs.FAILED:
        return runs.FAILED, said.get("error")
    stopped = (runs.INTERRUPTED, runs.UNKNOWN) if asked else () if alone else (runs.INTERRUPTED,)
    if status == INTERRUPTED or said["status"] in stopped:
        return runs.INTERRUPTED, None
    reason = said.get("error") if said["status"] == runs.FAILED else None
    return runs.FAILED, reason or said_last(log)


def said_last(log: Path) -> str:
    """Why a process ended that left no word in its run folder."""
    return last_line(log).rpartition(" (see ")[0].removeprefix("error: ")


def ended_unsaved(number: int, asked: bool) -> str:
    """Why a signal ended a process before it could save; `asked` as of `verdict`."""
    if asked and number == signal.SIGKILL:
        return "killed before its state was saved: Ctrl-C came again, or the saving took too long"
    return killed_by(number)


def killed_by(number: int) -> str:
    """What it means that a signal ended a process."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if number == signal.SIGKILL:
        return f"killed by {name}, as the operating system does where memory runs out"
    return f"killed by {name}"
