"""Work done under watch: how it ended, what it wrote, started and imported, its time and memory.

Work on files of a stranger may do three things: succeed, be refused with a message that a person
can read, or be at fault. At fault is whatever the promises of docs/security.md exclude: another
exception, a line too long, a write or a removal outside of the working folder, a process, a network
connection, code of the folder that is run, and time and memory beyond the bounds.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import logging
import os
import signal
import sys
import time
import traceback
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from gan_cli.console import clean
from gan_cli.errors import UserError
from gan_cli.exits import RunFailedError, one_line

SECONDS = 20.0  # of the process's own time
BUSY = 6  # how much longer it may take on the clock, as on a machine that others use
MEMORY = 1 << 30  # bytes above what the process had before
LONGEST_LINE, MOST_LINES = 1000, 40  # of a message
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
SECOND = {"os.rename", "os.link", "os.symlink"}  # what they change is their second argument
CHANGING = {"os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod", "os.chown"}
STARTING = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "pty.spawn"}
CONNECTING = {"socket.connect", "socket.getaddrinfo", "webbrowser.open"}
HIGH_WATER = Path("/proc/self/clear_refs")
NO_MEMORY = "not enough memory"  # as exits.py has it
ACCEPTED, REFUSED, FAULT = "accepted", "refused", "fault"


class HungError(BaseException):
    """The work takes longer than it may; no `except Exception` holds it up."""


@dataclass
class Outcome:
    """How one piece of work ended."""

    kind: str  # ACCEPTED, REFUSED or FAULT
    text: str = ""  # the message, or what is wrong
    seconds: float = 0.0
    memory: int = 0  # bytes at the peak above those before


@dataclass
class _Listener:
    """Hears what the process does while a folder is watched; Python cannot remove its hook."""

    home: Path | None = None
    faults: list[str] = field(default_factory=list)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.home is None:
            return
        if event in STARTING or event in CONNECTING:
            self.faults.append(f"{event} {str(arguments)[:200]}")
        elif event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes) and isinstance(flags, int) and flags & WRITING:
                self._changed(event, os.path.realpath(os.fsdecode(path)))
        elif event in SECOND:
            self._entry(event, arguments[1], arguments[-1])
        elif event in CHANGING:
            self._entry(event, arguments[0], arguments[-1])
        elif event == "exec":
            file = getattr(arguments[0], "co_filename", "")
            if file.startswith(f"{self.home}{os.sep}"):
                self.faults.append(f"code of {file} was run")

    def _entry(self, event: str, path: Any, folder: Any) -> None:
        """A change of an entry of a folder: the folder's own links count, not the entry's."""
        if not isinstance(path, str | bytes | os.PathLike):
            return
        name = os.fsdecode(path)
        if isinstance(folder, int) and folder >= 0 and not os.path.isabs(name):  # noqa: PTH117
            with contextlib.suppress(OSError):
                name = f"{os.readlink(f'/proc/self/fd/{folder}')}/{name}"  # noqa: PTH115
        head, _, last = os.path.abspath(name).rpartition(os.sep)  # noqa: PTH100
        self._changed(event, f"{os.path.realpath(head)}{os.sep}{last}")

    def _changed(self, event: str, path: str) -> None:
        inside = path == str(self.home) or path.startswith(f"{self.home}{os.sep}")
        if not inside and path != os.devnull and not path.startswith("/proc/self/"):
            self.faults.append(f"{event} outside of the folder: {path}")


_listener = _Listener()
_unexpected: list[str] = []


class _Unexpected(logging.Handler):
    """Keeps what `exits.guarded` turned into one line although no user caused it."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg == "unexpected" and record.exc_info and record.exc_info[1]:
            _unexpected.append(_where(record.exc_info[1]))


def install() -> None:
    """Begin to listen, for the rest of this process."""
    sys.dont_write_bytecode = True
    sys.addaudithook(_listener)
    logging.getLogger("gan_cli.exits").addHandler(_Unexpected())
    logging.getLogger("gan_cli.exits").setLevel(logging.DEBUG)


@contextlib.contextmanager
def _watching(home: Path, seconds: float) -> Iterator[None]:
    def hung(_: int, __: FrameType | None) -> None:
        raise HungError

    before = {number: signal.signal(number, hung) for number in (signal.SIGALRM, signal.SIGPROF)}
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, BUSY * seconds)
    faulthandler.dump_traceback_later(
        2 * BUSY * seconds, exit=True, file=sys.__stderr__ or 2
    )  # where C never returns
    _listener.home, _listener.faults = Path(os.path.realpath(home)), []
    _unexpected.clear()
    try:
        yield
    finally:
        _listener.home = None
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        faulthandler.cancel_dump_traceback_later()


def outcome(
    work: Callable[[], object], home: Path, seconds: float = SECONDS, memory: int = MEMORY
) -> Outcome:
    """Do `work`, which may change nothing outside of `home`, and judge it.

    Args:
        work: it raises a UserError to refuse, or returns an exit status or anything else. What it
            writes on stderr is taken for its message.
        home: the working directory while it works, and the only folder that may change.
        seconds: of the process's time that it may take, and `BUSY` times that on the clock.
        memory: bytes that it may take.
    """
    out, err = io.StringIO(), io.StringIO()
    kind, text = ACCEPTED, ""
    rest, begun = _reset_peak(), time.process_time()
    try:
        with (
            contextlib.chdir(home),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            _watching(home, seconds),
        ):
            status = work()
        if isinstance(status, int) and not isinstance(status, bool) and status != 0:
            kind, text = REFUSED, err.getvalue()
            if status != 2:
                kind, text = _failed(status, text)
    except (UserError, RunFailedError) as error:
        kind, text = REFUSED, str(error)
    except HungError as error:
        kind, text = FAULT, f"hangs: more than {seconds:g} s {_where(error)}"
    except SystemExit as error:
        kind, text = (REFUSED if error.code == 2 else FAULT), f"exit {error.code}"
    except Exception as error:
        kind, text = REFUSED, one_line(error)  # if only for want of memory
        if not text.startswith(NO_MEMORY):
            kind, text = FAULT, f"{type(error).__name__}: {str(error)[:200]} {_where(error)}"
    taken, used = time.process_time() - begun, _peak() - rest
    if kind == REFUSED and (fault := unreadable(text)):
        kind, text = FAULT, fault
    if "Traceback" in err.getvalue():
        kind, text = FAULT, f"a traceback: {err.getvalue()[-500:]}"
    if _listener.faults:
        kind, text = FAULT, "; ".join(_listener.faults[:3])
    if used > memory and kind != FAULT:
        kind, text = FAULT, f"takes {used >> 20} MiB"
    return Outcome(kind, text, taken, max(0, used))


def _failed(status: int, text: str) -> tuple[str, str]:
    """An exit status that is not 2: a run that broke off, or an exception of ours."""
    if _unexpected and NO_MEMORY not in text:
        return FAULT, f"status {status}: {_unexpected[0]}"
    return REFUSED, text


def unreadable(text: str) -> str:
    """Why a message is not one that a person can read; empty where it is."""
    lines = clean(text).strip().splitlines()
    if not lines:
        return "refused without a word"
    if len(lines) > MOST_LINES or max(map(len, lines)) > LONGEST_LINE:
        return f"a message of {len(lines)} lines, {max(map(len, lines))} characters: {lines[0]}"
    if odd := [c for line in lines for c in line if unicodedata.category(c) == "Cc"]:
        return f"a message with {odd[0]!r}: {lines[0][:200]}"
    return ""


def _where(error: BaseException) -> str:
    """The exception and the innermost of our own lines."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "gan_cli" in f.filename] or list(frames)
    place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
    return f"({type(error).__name__} {' '.join(str(error).split())[:150]} at {place})"


def _reset_peak() -> int:
    """Let the peak begin here; bytes in memory now."""
    with contextlib.suppress(OSError):
        HIGH_WATER.write_text("5")
    return _memory("VmRSS")


def _peak() -> int:
    return _memory("VmHWM")


def _memory(key: str) -> int:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0
