"""The table of runs as they go on, from their folders alone."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from gan_cli.errors import ConfigError
from gan_cli.exits import DONE
from gan_cli.reporting import terminal
from gan_cli.reporting.findings import Findings
from gan_cli.runs.folder import RUNNING


def watch(
    console: Console,
    look: Callable[[], Findings],
    every: float,
    wait: Callable[[float], None] = time.sleep,
) -> int:
    """Redraw what `look` finds until no run goes on; the exit status.

    Where the screen cannot be redrawn, only the last table is printed.

    Raises:
        KeyboardInterrupt: the user has seen enough.
        UserError: there are no such runs.
    """
    with Live(console=console, auto_refresh=False, transient=False) as shown:
        while True:
            going, view = _look(look)
            shown.update(view, refresh=True)
            if not going:
                return DONE
            wait(every)


def _look(look: Callable[[], Findings]) -> tuple[bool, RenderableType]:
    """Whether runs go on, and the table."""
    try:
        found = look()
    except ConfigError as error:  # no curves yet
        return True, Text(f"waiting: {error}", style="dim")
    going = sum(record.state == RUNNING for record in found.records)
    return bool(going), terminal.rendered(found, live=bool(going))
