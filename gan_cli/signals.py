"""Signals that ask the program to stop: Ctrl-C, SIGTERM, a closed terminal, a cluster's warning.

All of them ask the same: end, with the state saved. Whoever sends one often sends another soon
after (a terminal and its shell, a cluster at the end of its patience), so after the first one only
Ctrl-C counts, which is typed by somebody who no longer wants to wait.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import FrameType

Handler = Callable[[int, FrameType | None], None]
TORCHRUN = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1,SIGUSR2"  # that it passes on to its ranks
# Windows lacks the last three, and nohup has the first of them ignored.
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
STOPS = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))
ALWAYS = (signal.SIGINT, signal.SIGTERM)
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has one way to end a process


def stop_signals() -> tuple[signal.Signals, ...]:
    """Those that ask this process to stop: not the further ones that it was started to ignore."""
    return tuple(
        number
        for number in STOPS
        if number in ALWAYS or signal.getsignal(number) is not signal.SIG_IGN
    )


@contextmanager
def handled(receive: Handler) -> Iterator[None]:
    """Within it, `receive` gets the signals. Outside the main thread they cannot be caught."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def heard(number: int, frame: FrameType | None) -> None:
        leave_closed_terminal()
        receive(number, frame)

    before = {number: signal.signal(number, heard) for number in stop_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupt_program() -> None:
    """From here on, have a signal raise KeyboardInterrupt with its name."""
    heard = False

    def receive(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        if heard and number != signal.SIGINT:
            return
        heard = True
        leave_closed_terminal()
        raise KeyboardInterrupt(signal.Signals(number).name)

    if threading.current_thread() is threading.main_thread():
        for number in stop_signals():
            # A shell without job control switches Ctrl-C off for what runs in its background.
            if number != signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, receive)


class StopRequest:
    """Set by the first signal; a Ctrl-C after it no longer waits for the step to end.

    Args:
        echo: seconds within which another Ctrl-C is the first one heard again.
        answer: called at once, in the handler, with the message for the user.
    """

    def __init__(self, echo: float = 0.0, answer: Callable[[str], None] | None = None) -> None:
        self.signal: signal.Signals | None = None
        self._echo, self._heard, self._answer = echo, 0.0, answer

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        now = time.monotonic()
        if self.signal is None:
            self.signal, self._heard = signal.Signals(number), now
            if self._answer is not None:
                who = "" if number == signal.SIGINT else f"{self.signal.name}: "
                self._answer(
                    f"{who}stopping after this step, saving; Ctrl-C again ends without saving"
                )
        elif number == signal.SIGINT and now - self._heard >= self._echo:
            raise KeyboardInterrupt

    def installed(self) -> AbstractContextManager[None]:
        """Within it, signals only ask."""
        return handled(self.receive)


def leave_closed_terminal() -> None:
    """Send nowhere what would go to a terminal that was closed, where each write is an error."""
    for handle in (1, 2):
        try:
            os.write(handle, b"")
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, handle)
            os.close(nowhere)


def say_at_once(line: str) -> None:
    """Write a line on stderr, also from a signal handler: past buffers that are being written."""
    bar = "\r\x1b[K" if os.isatty(2) else ""
    with suppress(OSError):  # nobody reads it, as behind a pipe to `head`
        os.write(2, f"{bar}{line}\n".encode())
