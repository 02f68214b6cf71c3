"""Processes end when they are asked to, and when who started them is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from gan_cli.jobs import processes
from gan_cli.jobs.processes import Children, StoppedError, last_line

SLEEPER = "import time; print('up', flush=True); time.sleep(200)"
ENOUGH = 150.0  # seconds after which a test gives up


def appears(path: Path) -> None:
    """Wait until there is something in the file."""
    until = time.monotonic() + ENOUGH
    while not (path.exists() and path.read_text(encoding="utf-8")):
        assert time.monotonic() < until, f"nothing came into {path}"
        time.sleep(0.01)


def test_stopping_ends_every_process(tmp_path: Path) -> None:
    children, log = Children(), tmp_path / "log"
    ended: list[str] = []

    def sleep() -> None:
        try:
            children.run([sys.executable, "-c", SLEEPER], log, os.environ)
        except StoppedError:
            ended.append("stopped")

    worker = threading.Thread(target=sleep)
    worker.start()
    appears(log)
    children.stop(grace=ENOUGH)
    worker.join(ENOUGH)
    assert ended == ["stopped"]
    assert children.stopped
    with pytest.raises(StoppedError):
        children.run([sys.executable, "-c", ""], log, os.environ)


@pytest.mark.parametrize(("handler", "saved"), [("SIG_DFL", True), ("SIG_IGN", False)])
def test_it_is_known_whether_all_could_save(tmp_path: Path, handler: str, saved: bool) -> None:
    children, log = Children(), tmp_path / "log"
    code = f"import signal; signal.signal(signal.SIGTERM, signal.{handler}); {SLEEPER}"

    def run() -> None:
        with suppress(StoppedError):
            children.run([sys.executable, "-c", code], log, os.environ)

    worker = threading.Thread(target=run)
    worker.start()
    appears(log)
    children.stop(grace=ENOUGH if saved else 0.2)
    worker.join(ENOUGH)
    assert children.all_saved is saved


def test_a_watch_ends_its_process_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    saves = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit(3)))\n"
        f"{SLEEPER}"
    )
    children = Children()
    up = lambda: log.read_text(encoding="utf-8") != ""  # noqa: E731
    assert children.run([sys.executable, "-c", saves], log, os.environ, up) == 3
    assert last_line(log) == f"saved (see {log})"
    log.write_text("error: no such data\ntorchrun's words\n=====\n", encoding="utf-8")
    assert last_line(log) == f"error: no such data (see {log})"
    assert children.run([sys.executable, "-c", ""], log, os.environ, lambda: False) == 0


def test_who_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE", 0.1)
    log = tmp_path / "log"
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"
    up = lambda: log.read_text(encoding="utf-8") != ""  # noqa: E731
    status = Children().run([sys.executable, "-c", deaf], log, os.environ, up)
    assert status == -signal.SIGKILL


def test_a_broken_watch_leaves_no_process(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def broken() -> bool:
        raise ValueError("no such metric")

    with pytest.raises(ValueError, match="no such metric"):
        Children().run([sys.executable, "-c", SLEEPER], log, os.environ, broken)


PARENT = """
import os, sys, threading
from pathlib import Path
from gan_cli.jobs.processes import Children, command
Children().run(command("orphan", []), Path("log"), os.environ)
"""
ORPHAN = """
import signal, time
def save(*_):
    open("saved", "w").write("yes")
    raise SystemExit
signal.signal(signal.SIGTERM, save)
print("up", flush=True)
time.sleep(200)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's help is Linux's")
def test_kill_9_of_the_parent_ends_its_children(tmp_path: Path) -> None:
    (tmp_path / "orphan.py").write_text(ORPHAN, encoding="utf-8")
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(tmp_path)])
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}
    )
    appears(tmp_path / "log")
    parent.kill()
    parent.wait()
    appears(tmp_path / "saved")
