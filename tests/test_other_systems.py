"""Windows and macOS as far as Linux can show: what they lack is asked for before it is used.

`os` and `signal` have fewer names there, processes are spawned and not forked, and modules such as
fcntl are missing.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "gan_cli"
FILES = sorted(PACKAGE.rglob("*.py"))
OF_OS = """
fork forkpty killpg setsid setpgid getpgid getpgrp getsid getuid geteuid getgid getegid setuid
setgid wait wait3 wait4 waitid P_PID WEXITED WNOHANG WNOWAIT pread preadv pwrite pwritev sendfile
posix_fadvise POSIX_FADV_RANDOM posix_fallocate sched_getaffinity sched_setaffinity sysconf statvfs
fstatvfs mkfifo mknod chroot chown lchown fchown nice getpriority getloadavg uname openpty ttyname
O_NOFOLLOW O_NONBLOCK O_NOCTTY O_CLOEXEC O_DIRECTORY O_SYNC set_blocking register_at_fork
"""
OF_SIGNAL = """
SIGHUP SIGQUIT SIGKILL SIGUSR1 SIGUSR2 SIGPIPE SIGALRM SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN
SIGTTOU SIGPROF SIGXCPU SIGXFSZ SIGWINCH pthread_sigmask setitimer alarm pause sigwait siginterrupt
ITIMER_REAL
"""
NOT_ON_WINDOWS = {"os": OF_OS.split(), "signal": OF_SIGNAL.split()}
MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "curses", "readline"}
KEYWORDS = {"preexec_fn", "pass_fds"}
ASKED_ELSEWHERE = {  # who asks
    "jobs/fork_server.py": "its `possible`, before it is used",
    "data/dataset.py preadv": "who makes `Rows`",
}


def unguarded(file: Path) -> Iterator[str]:
    """Uses of what Windows lacks, before which nothing asks for it in the same function."""
    text = file.read_text(encoding="utf-8")
    lines, tree = text.splitlines(), ast.parse(text)
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    caught = [n for n in ast.walk(tree) if isinstance(n, ast.Try) and _catches(n)]
    for node in ast.walk(tree):
        name = _lacking(node)
        if not name:
            continue
        line: int = node.lineno  # type: ignore[attr-defined]
        if any(one.body[0].lineno <= line <= (one.body[-1].end_lineno or 0) for one in caught):
            continue
        around = [f.lineno for f in functions if f.lineno <= line <= (f.end_lineno or 0)]
        before = "\n".join(lines[max(around, default=1) - 1 : line])
        if not re.search(r"hasattr\((os|signal), |os\.name|sys\.platform", before):
            yield f"{file.relative_to(PACKAGE).as_posix()} {name} (line {line})"


def _lacking(node: ast.AST) -> str:
    """The name that Windows lacks, where `node` uses one."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.attr if node.attr in NOT_ON_WINDOWS.get(node.value.id, ()) else ""
    if isinstance(node, ast.Import):
        return next((one.name for one in node.names if one.name in MODULES), "")
    if isinstance(node, ast.ImportFrom):
        names = NOT_ON_WINDOWS.get(node.module or "", ())
        return (node.module or "") * (node.module in MODULES) or next(
            (one.name for one in node.names if one.name in names), ""
        )
    if isinstance(node, ast.keyword) and node.arg in KEYWORDS:
        return node.arg or ""
    return ""


def _catches(node: ast.Try) -> bool:
    return any(
        h.type and re.search("AttributeError|ImportError", ast.unparse(h.type))
        for h in node.handlers
    )


def test_nothing_of_one_system_is_used_without_asking() -> None:
    found = [use for file in FILES for use in unguarded(file)]
    assert [use for use in found if not use.startswith(tuple(ASKED_ELSEWHERE))] == []


def test_an_unguarded_use_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / "x.py").write_text(
        "import os, fcntl\n"
        "def f():\n    os.fork()\n"
        "def g():\n    if hasattr(os, 'nice') and os.name == 'posix':\n        os.getuid()\n"
        "def h():\n    try:\n        os.sysconf('x')\n    except AttributeError:\n        pass\n"
    )
    assert sorted(unguarded(tmp_path / "x.py")) == ["x.py fcntl (line 1)", "x.py fork (line 3)"]


WITHOUT = """
import builtins, os, signal, sys
LACKING, MODULES = {lacking!r}, {modules!r}
OTHER = {{"name": "nt", "platform": "win32"}}

class Like:
    "A module as another system has it."
    def __init__(self, module): object.__setattr__(self, "_module", module)
    def __getattr__(self, name):
        if name in LACKING.get(self._module.__name__, ()):
            raise AttributeError(f"{{self._module.__name__}}.{{name}} is not there")
        if self._module.__name__ in ("os", "sys") and name in OTHER:
            return OTHER[name]
        return getattr(self._module, name)
    def __setattr__(self, name, value): setattr(self._module, name, value)

likes = {{name: Like(sys.modules[name]) for name in ("os", "signal", "sys")}}
before = builtins.__import__

def like_there(name, globals=None, locals=None, fromlist=(), level=0):
    if globals and str(globals.get("__name__")).split(".")[0] == "gan_cli":
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named {{name}}", name=name)
        if name in likes:
            return likes[name]
    return before(name, globals, locals, fromlist, level)

builtins.__import__ = like_there
import gan_cli.commands.train, gan_cli.commands.sample
which, sys.argv = sys.argv[1], sys.argv[1:]
getattr(gan_cli.commands, which).main()
"""
RUN = (
    *("model=gan", "data=ring", "data.points=64", "network=mlp", "network.width=8", "steps=2"),
    *("batch_size=8", "runtime.device=cpu", "runtime.threads=1", "runtime.precision=fp32"),
)


def elsewhere(folder: Path, *words: str) -> str:
    """Run a command as if on Windows; what it wrote."""
    program = WITHOUT.format(lacking=NOT_ON_WINDOWS, modules=MODULES)
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


@pytest.mark.slow
def test_training_sampling_and_sweeps_work_without_what_windows_lacks(tmp_path: Path) -> None:
    assert "finished at step 2" in elsewhere(tmp_path, "train", *RUN, "run.dir=a")
    assert "finished at step 3" in elsewhere(tmp_path, "train", "resume=a", "steps=3")
    elsewhere(tmp_path, "sample", "a", "-n", "4", "--device", "cpu")
    said = elsewhere(tmp_path, "train", "-m", *RUN, "seed=1,2", "sweep.dir=s")  # spawned processes
    assert len(list((tmp_path / "s").rglob("last.pt"))) == 2, said
