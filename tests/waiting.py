"""Waiting for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 300.0  # seconds; a machine may be busy


def wait_for(condition: Callable[[], object]) -> None:
    """Look until it is so; fails if it never is."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
