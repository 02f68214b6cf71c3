"""Heartbeats: every rank detects within half a minute that another one is gone.

A collective call waits for all ranks, and the first rank may evaluate for minutes while the others
wait. So no call has a time limit, and a thread of each rank sends and checks heartbeats instead.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from torch._C._distributed_c10d import PrefixStore, TCPStore

EVERY = 1.0  # seconds between two heartbeats
SILENT = 25.0  # seconds without one after which a rank is lost
ARRIVING = 300.0  # the same, before its first one
DOUBTED = 5.0  # the same, after a failed call to the other ranks
GRACE = 8.0  # seconds in which the main thread may end by itself
LOST = "lost"  # in the store: what ended the run


class Heartbeat:
    """Sends this rank's heartbeats, and ends the process when another rank is lost.

    The first rank checks all others, and these check the first.

    Args:
        host, port: of the store.
        rank: this one.
        count: of ranks.
        report: called with the reason before the process is ended, in the thread.
    """

    def __init__(
        self, host: str, port: int, rank: int, count: int, report: Callable[[str], None]
    ) -> None:
        self.rank, self.report = rank, report
        limit = timedelta(seconds=SILENT)
        store = TCPStore(host, port, None, False, limit, wait_for_workers=False)
        # torchrun's store outlives a restart of all ranks.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        self._store = PrefixStore(f"gan-train/{attempt}", store)
        self._heard = {
            other: ("", time.monotonic()) for other in (range(1, count) if rank == 0 else (0,))
        }
        self._over = threading.Event()
        self._reason, self._patience = "", SILENT
        self._thread = threading.Thread(target=self._run, name="signs of life", daemon=True)
        self._beat(0)
        self._thread.start()

    def fail(self, reason: str) -> None:
        """Send the others the reason why this rank ends."""
        with contextlib.suppress(RuntimeError):
            self._store.compare_set(LOST, "", f"rank {self.rank}: {reason}")

    def reason(self) -> str:
        """Why a call to the others has failed, waiting some seconds for it; may be empty."""
        self._patience = DOUBTED
        end = time.monotonic() + 2 * DOUBTED
        while not self._reason and time.monotonic() < end and self._thread.is_alive():
            time.sleep(EVERY / 10)
        return self._reason

    def stop(self) -> None:
        """Stop sending and checking."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        count = 0
        while not self._over.wait(EVERY):
            count += 1
            try:
                self._beat(count)
                self._reason = self._listen()
            except RuntimeError as error:
                self._reason = f"the first rank's store is gone ({str(error).splitlines()[0]})"
            if self._reason:
                break
        if self._reason and not self._over.wait(GRACE):
            self.report(self._reason)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)

    def _beat(self, count: int) -> None:
        self._store.set(f"beat/{self.rank}", str(count))

    def _listen(self) -> str:
        if self._store.check([LOST]):
            return self._store.get(LOST).decode()
        now = time.monotonic()
        for other, (last, when) in self._heard.items():
            key = f"beat/{other}"
            beat = self._store.get(key).decode() if self._store.check([key]) else ""
            if beat != last:
                self._heard[other] = beat, now
            elif now - when > (self._patience if last else max(self._patience, ARRIVING)):
                reason = f"rank {other} is lost: no heartbeat for {now - when:.0f} s"
                self._store.compare_set(LOST, "", reason)
                return reason
        return ""
