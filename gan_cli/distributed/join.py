"""Join the other ranks, if any; torch and its process groups are imported only then."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gan_cli.exits import RunFailedError

if TYPE_CHECKING:
    from gan_cli.distributed.ranks import Ranks


def several() -> bool:
    """Whether torchrun, or a launcher with its variables, started several ranks."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def first_rank() -> bool:
    """Whether this process is the first of several, or alone."""
    return os.environ.get("RANK", "0") == "0" or not several()


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Join the other ranks; yields `ALONE` where there is no other.

    Args:
        device: `runtime.device`.

    Raises:
        UserError: the others do not arrive.
        RunFailedError: on all but the first rank, where another rank is gone; already reported.
    """
    if not several():
        from gan_cli.distributed.ranks import ALONE

        yield ALONE
        return
    from gan_cli.distributed.group import LostError, meet

    group = meet(device)
    try:
        yield group
        group.leave()
    except LostError as error:
        group.fail(error)
        if group.first:
            raise
        group.say(str(error))
        raise RunFailedError(str(error)) from error
    except BaseException as error:
        group.fail(error)
        raise
