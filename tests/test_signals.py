"""Which signals ask to stop, what is answered, and what a second one does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gan_cli.exits import INTERRUPTED, guarded
from gan_cli.signals import STOPS, StopRequest, interrupt_program, say_at_once

LATER = [number for number in STOPS if number != signal.SIGINT]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """As they were, after the test."""
    before = {number: signal.getsignal(number) for number in STOPS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("first", STOPS)
def test_the_first_signal_is_answered_at_once(first: signal.Signals) -> None:
    said: list[str] = []
    stop = StopRequest(answer=said.append)
    with stop.installed():
        send(first)
        assert stop.signal == first
        name = "" if first == signal.SIGINT else f"{first.name}: "
        asked = "stopping after this step, saving; Ctrl-C again ends without saving"
        assert said == [f"{name}{asked}"]


@pytest.mark.parametrize("first", STOPS)
def test_after_it_only_ctrl_c_no_longer_waits(first: signal.Signals) -> None:
    said: list[str] = []
    stop = StopRequest(answer=said.append)
    with stop.installed():
        send(first)
        for number in LATER:  # a terminal and its shell, a cluster at the end of its patience
            send(number)
        assert (stop.signal, len(said)) == (first, 1)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_what_was_ignored_at_the_start_stays_ignored(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_IGN)
    stop = StopRequest()
    interrupt_program()
    with stop.installed():
        send(number)
    send(number)
    assert stop.signal is None
    assert signal.getsignal(number) is signal.SIG_IGN


@pytest.mark.parametrize("number", STOPS)
def test_a_program_without_state_says_what_ended_it(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt_program()
    assert guarded(lambda: [send(number), 0][1]) == INTERRUPTED
    name = "" if number == signal.SIGINT else f" by {number.name}"
    assert capsys.readouterr().err == f"interrupted{name}\n"
    for later in LATER:
        send(later)  # heard, and no second exception


def test_the_answer_goes_past_buffers(capfd: pytest.CaptureFixture[str]) -> None:
    say_at_once("stopping")
    assert capfd.readouterr().err == "stopping\n"


IN_A_TERMINAL = """
import fcntl, sys, termios
from pathlib import Path
from gan_cli.signals import StopRequest, say_at_once
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
stop = StopRequest(answer=say_at_once)
with stop.installed():
    print("up", flush=True)
    while stop.signal is None:
        pass
print("saved", flush=True)
print("saved", file=sys.stderr, flush=True)
Path("ended").write_text(stop.signal.name)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the way to a terminal of one's own is Linux's")
def test_a_closed_terminal_is_no_error_for_what_is_written_after(tmp_path: Path) -> None:
    ours, its = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", IN_A_TERMINAL],
        stdin=its,
        stdout=its,
        stderr=its,
        cwd=tmp_path,
        start_new_session=True,
    )
    os.close(its)
    assert os.read(ours, 2) == b"up"
    os.close(ours)  # the kernel sends SIGHUP
    assert process.wait(60) == 0
    assert (tmp_path / "ended").read_text() == "SIGHUP"


HANG = """
import sys
from gan_cli import exits
from gan_cli.commands import {command}
def hang(*_):
    print("up", flush=True)
    import time
    time.sleep(100)
exits.command({command}.parser, hang)(["RUN"])
"""


@pytest.mark.parametrize("command", ["evaluate", "sample"])
def test_a_closed_terminal_ends_commands_with_a_word(command: str) -> None:
    code = HANG.format(command=command)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGHUP)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (INTERRUPTED, "interrupted by SIGHUP\n")
