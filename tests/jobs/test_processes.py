"""Processes end when they are asked to, and when their starter has ended."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from waiting import PATIENCE, wait_for

from gan_cli import files
from gan_cli.jobs.processes import StoppedError, Supervisor, last_line

SLEEPER = "import time; print('up', flush=True); time.sleep(200)"
SAVES = f"""
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit(3)))
{SLEEPER}
"""
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"


def has_text(path: Path) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") != ""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Make a module of some code; its words for a supervisor."""
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parents[2]}:{tmp_path}")

    def write(code: str) -> list[str]:
        (tmp_path / "program.py").write_text(code, encoding="utf-8")
        return ["program"]

    return write


@pytest.mark.parametrize(("code", "saved"), [(SLEEPER, True), (DEAF, False)])
def test_stopping_ends_every_process_and_reports_those_killed(
    code: str, saved: bool, program: Callable[[str], list[str]], tmp_path: Path
) -> None:
    supervisor, log = Supervisor(grace=PATIENCE if saved else 0.2), tmp_path / "log"
    ended: list[str] = []

    def run() -> None:
        try:
            supervisor.run(program(code), log, os.environ)
        except StoppedError:
            ended.append("stopped")

    worker = threading.Thread(target=run)
    worker.start()
    wait_for(lambda: has_text(log))
    supervisor.stop()
    worker.join(PATIENCE)
    assert ended == ["stopped"]
    assert supervisor.stopped
    assert supervisor.all_saved is saved
    with pytest.raises(StoppedError):
        supervisor.run(program(""), log, os.environ)


@pytest.mark.parametrize("by_exception", [True, False])
def test_asked_again_it_kills_at_once(
    by_exception: bool, program: Callable[[str], list[str]], tmp_path: Path
) -> None:
    supervisor, log = Supervisor(grace=PATIENCE), tmp_path / "log"
    process = supervisor.start(program(DEAF), log, os.environ)
    wait_for(lambda: has_text(log))

    def ctrl_c() -> None:
        if supervisor.asked == 1 and by_exception:
            raise KeyboardInterrupt
        supervisor.asked = 2

    supervisor.stop(ctrl_c)
    assert process.poll() == -signal.SIGKILL
    assert not supervisor.all_saved


@pytest.mark.parametrize(
    ("code", "grace", "status"), [(SAVES, PATIENCE, 3), (DEAF, 0.1, -signal.SIGKILL)]
)
def test_a_watch_ends_its_process_alone(
    code: str, grace: float, status: int, program: Callable[[str], list[str]], tmp_path: Path
) -> None:
    supervisor, log = Supervisor(grace=grace), tmp_path / "log"
    assert supervisor.run(program(code), log, os.environ, lambda: has_text(log)) == status
    assert supervisor.run(program(""), log, os.environ) == 0


def test_the_last_line_is_the_reason(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("first\nsaved\n\n", encoding="utf-8")
    assert last_line(log) == f"saved (see {log})"
    log.write_text("error: no such data\ntorchrun's words\n=====\n", encoding="utf-8")
    assert last_line(log) == f"error: no such data (see {log})"
    log.write_text("")
    assert last_line(log) == f"no output (see {log})"
    with log.open("wb") as file:  # a terabyte that is not there
        file.seek(1 << 40)
        file.write(b"\nerror: too long\n")
    assert last_line(log) == f"error: too long (see {log})"


def test_a_full_disk_is_the_reason_where_there_is_no_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    log, full = tmp_path / "log", os.strerror(errno.ENOSPC)
    log.write_text("\n")
    reason = f"no output: {full}; make room or choose another folder"
    assert last_line(log) == f"{reason} (see {log})"
    log.write_text("error: no such data\n", encoding="utf-8")
    assert last_line(log) == f"error: no such data (see {log})"


def test_an_error_in_a_watch_leaves_no_process(
    program: Callable[[str], list[str]], tmp_path: Path
) -> None:
    def broken() -> bool:
        raise ValueError("no such metric")

    with pytest.raises(ValueError, match="no such metric"):
        Supervisor().run(program(SLEEPER), tmp_path / "log", os.environ, broken)


PARENT = """
import os
from pathlib import Path
from gan_cli.jobs.processes import Supervisor
Supervisor().run(["program"], Path("log"), os.environ)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's help is Linux's")
def test_kill_9_of_the_parent_ends_its_children(
    program: Callable[[str], list[str]], tmp_path: Path
) -> None:
    program(SAVES)
    with (
        suppress(ProcessLookupError),
        subprocess.Popen([sys.executable, "-c", PARENT], cwd=tmp_path) as parent,
    ):
        wait_for(lambda: has_text(tmp_path / "log"))
        parent.kill()
    wait_for(lambda: "saved" in (tmp_path / "log").read_text(encoding="utf-8"))
