"""Exit statuses, and the one line that goes with them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from gan_cli.errors import CheckpointError, ConfigError, DataError, UserError

DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130

log = logging.getLogger(__name__)
NO_ROOM = "DefaultCPUAllocator: can't allocate memory"


class RunFailedError(Exception):
    """A run broke off; its folder, its log and the screen have the reason already."""


def guarded(work: Callable[[], int]) -> int:
    """Do `work` and turn whatever it raises into an exit status and one message on stderr."""
    try:
        return work()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except RunFailedError:
        return FAILED
    except (ConfigError, DataError, CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_INPUT
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        return FAILED
    except Exception as error:
        log.debug("unexpected", exc_info=True)
        print(f"error: {one_line(error)}", file=sys.stderr)
        return FAILED


def one_line(error: BaseException) -> str:
    """An exception's kind and message on one line; our own need no kind."""
    text = " ".join(str(error).split())
    if isinstance(error, UserError):
        return text
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or NO_ROOM in text:
        return (
            "not enough memory; a smaller batch_size, network.width, prior.dim or data.size needs "
            f"less, and dry_run=true estimates it ({text[:100]})"
        )
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
