"""Exit statuses, and the one line that goes with them."""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TextIO, TypeGuard

from gan_cli.console import clean
from gan_cli.errors import CheckpointError, ConfigError, DataError, UserError
from gan_cli.signals import interrupt_program

DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130

log = logging.getLogger(__name__)
UNORDERED = "does not have a deterministic implementation"  # torch's words
NO_ROOM = (
    *("DefaultCPUAllocator: can't allocate memory", "CUDA out of memory"),
    # Outside of torch's allocator, as where programs share a GPU.
    *("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
)


class RunFailedError(Exception):
    """A run broke off; its folder, its log and the screen have the reason already."""

    def __init__(self, reason: str, status: int = FAILED) -> None:
        super().__init__(reason)
        self.status = status


def command(
    parser: Callable[[], ArgumentParser], work: Callable[[Namespace], int]
) -> Callable[..., None]:
    """A program's `main`: do `work` with the options that `parser` reads from the arguments.

    It exits with 0, 2 (wrong input), 130 (interrupted) or 1 (anything else).
    """

    def main(arguments: Sequence[str] | None = None) -> None:
        interrupt_program()
        program(lambda: work(parser().parse_args(arguments)))

    return main


def program(work: Callable[[], int]) -> NoReturn:
    """Do the work of a command, its help included, and end the process with its exit status.

    Characters that the output's encoding lacks are written as question marks. Whoever reads the
    output may close it, as `head` does; then the command ends without a word.
    """
    sys.stdout, sys.stderr = (_writable(stream) for stream in (sys.stdout, sys.stderr))
    status: object = FAILED
    try:
        status = guarded(work)
    except SystemExit as end:  # of argparse
        status = end.code
    finally:
        written = [_flushed(stream) for stream in (sys.stdout, sys.stderr)]
    sys.exit(status if all(written) else status or FAILED)  # type: ignore[arg-type]


def _writable(stream: TextIO | None) -> TextIO:
    if stream is None:  # closed by the shell, as in `gan-train >&-`
        return Path(os.devnull).open("w", encoding="utf-8")
    if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
        stream.reconfigure(errors="replace")
    return stream


def _flushed(stream: TextIO) -> bool:
    """Write what is left; whether that could be done."""
    try:
        stream.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError) and stream is sys.stdout:
            say(f"error: the output cannot be written: {error.strerror or error}")
        # Python flushes once more when it ends, and would complain.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        return False
    return True


def guarded(work: Callable[[], int]) -> int:
    """Do `work` and turn whatever it raises into an exit status and one message on stderr."""
    try:
        return work()
    except KeyboardInterrupt as error:
        names = " ".join(str(word) for word in error.args)
        say(f"interrupted by {names}" if names not in ("", "SIGINT") else "interrupted")
        return status_of(error)
    except RunFailedError as error:
        return error.status
    except UserError as error:
        say(f"error: {error}")
        return status_of(error)
    except BrokenPipeError:  # whoever read the output has seen enough
        return FAILED
    except Exception as error:
        log.debug("unexpected", exc_info=True)
        say(f"error: {one_line(error)}")
        return status_of(error)


def say(message: str) -> None:
    """Write on stderr; of several ranks on one machine, which fail alike, the first does."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(clean(message), file=sys.stderr)


def status_of(error: BaseException) -> int:
    """The exit status that `error` leads to."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    wrong = isinstance(error, ConfigError | DataError | CheckpointError) or too_long(error)
    return WRONG_INPUT if wrong else FAILED


def too_long(error: BaseException) -> TypeGuard[OSError]:
    """Whether a path is longer than the system allows."""
    return isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG


def out_of_memory(error: BaseException) -> bool:
    """Whether the machine or the GPU had no memory left."""
    named = isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__
    return named or any(text in str(error) for text in NO_ROOM)


def one_line(error: BaseException) -> str:
    """An exception's kind and message on one line; our own need no kind."""
    text = " ".join(str(error).split())
    if isinstance(error, UserError):
        return text
    if too_long(error):
        return f"{error.filename}: {error.strerror}"
    if out_of_memory(error) and "CUDA" in text:
        return (
            "the GPU's memory is full; accumulate=2, a smaller batch_size, network.width or "
            "data.size, runtime.precision=bf16 or runtime.graphs=false need less, and "
            "dry_run=true estimates "
            f"it ({text[:100]})"
        )
    if UNORDERED in text:
        return (
            f"runtime.deterministic = true: {text.partition(' ')[0]} cannot be computed so on this "
            "device; set runtime.deterministic=false, or choose a network or penalty without it"
        )
    if out_of_memory(error):
        return (
            "not enough memory; accumulate=2, a smaller batch_size, network.width, prior.dim or "
            f"data.size needs less, and dry_run=true estimates it ({text[:100]})"
        )
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
