"""`gan-train` run in this process, for tests that need its words and files but no process."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from gan_cli.commands import train
from gan_cli.console import setup_logging
from gan_cli.signals import stop_signals


@contextlib.contextmanager
def _restored() -> Iterator[None]:
    """Restore afterwards what a command changes in its process."""
    environment, path, modules = dict(os.environ), sys.path[:], set(sys.modules)
    handlers, arguments = logging.getLogger().handlers[:], sys.argv
    caught = {number: signal.getsignal(number) for number in {signal.SIGINT, *stop_signals()}}
    try:
        yield
    finally:
        for number, handler in caught.items():
            signal.signal(number, handler)
        setup_logging(None)
        logging.getLogger().handlers[:] = handlers
        sys.argv, sys.path[:] = arguments, path
        for name in set(sys.modules) - modules:  # such as a model of the user's own
            file = getattr(sys.modules[name], "__file__", None)
            if file is not None and Path(file).is_relative_to(Path.cwd()):
                del sys.modules[name]
        os.environ.clear()
        os.environ.update(environment)


def call(
    *arguments: str, cwd: Path, main: Callable[[], object] = train.main, **environment: str
) -> CompletedProcess[str]:
    """Run `gan-train`, or another command, to its end; its exit status and what it wrote."""
    out, err = io.StringIO(), io.StringIO()
    status: object = None
    with contextlib.chdir(cwd), _restored():
        os.environ.update(environment)
        sys.argv = ["gan-train", *arguments]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
            except SystemExit as end:
                status = end.code
    assert isinstance(status, int)
    return CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


def gan_train(*arguments: str, cwd: Path, expect: int = 0) -> str:
    """Run `gan-train` to its end; what it wrote on stderr and stdout."""
    done = call(*arguments, cwd=cwd)
    assert done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr + done.stdout


def told(
    main: Callable[[Sequence[str]], object],
    capsys: pytest.CaptureFixture[str],
    *arguments: object,
    status: int = 0,
) -> tuple[str, str]:
    """What a command prints on stdout and on stderr; of a failure, one line."""
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert exit_.value.code == status, err
    if status:
        assert err.startswith("error: ")
        assert err.count("\n") == 1
    return out.strip(), err
